package bench

import (
	"sync/atomic"
	"testing"

	"github.com/shmkit/shmkit/internal/sys"
)

// BenchmarkLimit is what two processes can do at best on this machine: nothing but
// a loop on each side. What shmkit takes above it is the price of its guarantees.
func BenchmarkLimit(b *testing.B) {
	b.Run("line-roundtrip", func(b *testing.B) { duel(b, "pong", ping) })
	b.Run("futex-roundtrip", func(b *testing.B) { duel(b, "sleepy pong", sleepyPing) })
	b.Run("line-each", func(b *testing.B) {
		duel(b, "take each", func(s *board, n uint64) { put(s, n, 1) })
	})
	b.Run("line-batch", func(b *testing.B) {
		duel(b, "take 64", func(s *board, n uint64) { put(s, n, 64) })
	})
	b.Run("futex-cold", coldFutex)
	b.Run("re-exec", reExec)
}

// ping sends a number and waits until it comes back, n times.
func ping(s *board, n uint64) {
	for i := uint64(1); i <= n; i++ {
		sys.ReleaseStore64(&s.ping, i)
		await(&s.pong, i)
	}
}

func pong(s *board, n uint64) {
	for i := uint64(1); i <= n; i++ {
		await(&s.ping, i)
		sys.ReleaseStore64(&s.pong, i)
	}
}

// await spins until word is i.
func await(word *atomic.Uint64, i uint64) {
	for word.Load() != i {
		sys.Pause(1)
	}
}

// sleepyPing is ping with both sides asleep while they wait.
func sleepyPing(s *board, n uint64) {
	for i := uint32(1); i <= uint32(n); i++ {
		wake(&s.bell, i)
		sleep(&s.reply, i)
	}
}

func sleepyPong(s *board, n uint64) {
	for i := uint32(1); i <= uint32(n); i++ {
		sleep(&s.bell, i)
		wake(&s.reply, i)
	}
}

// wake stores i into word and wakes whoever sleeps on it.
func wake(word *atomic.Uint32, i uint32) {
	word.Store(i)
	sys.FutexWake(word, 1)
}

// sleep sleeps until word, which holds the number before i, holds i.
func sleep(word *atomic.Uint32, i uint32) {
	for word.Load() != i {
		sys.FutexWait(word, i-1, -1)
	}
}

// put sends n items, of which it makes the index known after each batch, a power of
// two. It looks at the consumer's index only when the array is full. It returns when
// all items are taken.
func put(s *board, n, batch uint64) {
	var taken uint64
	for i := range n {
		for i-taken == boardItems {
			if taken = s.pong.Load(); i-taken == boardItems {
				sys.Pause(1)
			}
		}
		s.items[i%boardItems] = i
		if (i+1)%batch == 0 {
			sys.ReleaseStore64(&s.ping, i+1)
		}
	}
	sys.ReleaseStore64(&s.ping, n)
	await(&s.pong, n)
}

// pauses is how often the consumer of an empty array pauses between two looks: a
// look takes the line of the index away from the producer.
const pauses = 8

// take receives n items. It makes its index known after each batch.
func take(s *board, n, batch uint64) {
	var there uint64
	for i := range n {
		for i == there {
			if there = s.ping.Load(); i == there {
				sys.Pause(pauses)
			}
		}
		if s.items[i%boardItems] != i {
			panic("wrong item")
		}
		if (i+1)%batch == 0 {
			sys.ReleaseStore64(&s.pong, i+1)
		}
	}
	sys.ReleaseStore64(&s.pong, n)
}
