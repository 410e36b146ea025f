package bench

import (
	"encoding/binary"
	"testing"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/ring"
)

// BenchmarkRing is an SPSC ring between two processes, as its users see it. Each side
// checks what it gets, and what the ring tells it.
func BenchmarkRing(b *testing.B) {
	b.Run("roundtrip", func(b *testing.B) { duel(b, "ring pong", ringPing) })
	b.Run("each", func(b *testing.B) { duel(b, "ring take each", ringPut) })
	b.Run("batch", func(b *testing.B) { duel(b, "ring take 64", ringPutBatches) })
}

func init() {
	sides["ring pong"] = ringPong
	sides["ring take each"] = ringTake
	sides["ring take 64"] = ringTakeBatches
}

const itemBytes = 8

// ringPing sends a number and waits until it comes back, n times.
func ringPing(s *board, n uint64) {
	there, back := s.producer(0), s.consumer(1)
	for i := range n {
		send(there, i)
		receive(back, i)
	}
}

func ringPong(s *board, n uint64) {
	there, back := s.consumer(0), s.producer(1)
	for i := range n {
		receive(there, i)
		send(back, i)
	}
}

// send publishes i. The ring has room: only few messages are on their way.
func send(p *ring.Producer, i uint64) {
	var message [itemBytes]byte
	binary.NativeEndian.PutUint64(message[:], i)
	ok, err := p.TryPut(message[:])
	must(err)
	if !ok {
		panic("the ring is full")
	}
}

// receive spins until the next item is there, which is i.
func receive(c *ring.Consumer, i uint64) {
	item, ok, err := c.Peek()
	for !ok {
		must(err)
		sys.Pause(1)
		item, ok, err = c.Peek()
	}
	expect(item, i)
	c.Release()
}

func expect(item []byte, i uint64) {
	if binary.NativeEndian.Uint64(item) != i {
		panic("wrong item")
	}
}

// ringPut sends n items and publishes each at once. It returns when all are taken.
func ringPut(s *board, n uint64) {
	p := s.producer(0)
	for i := range n {
		room, ok, err := p.Reserve(itemBytes)
		for !ok {
			must(err)
			sys.Pause(1)
			room, ok, err = p.Reserve(itemBytes)
		}
		binary.NativeEndian.PutUint64(room, i)
		p.Commit()
	}
	await(&s.pong, n)
}

// ringTake receives n items and gives each back at once.
func ringTake(s *board, n uint64) {
	c := s.consumer(0)
	for i := range n {
		item, ok, err := c.Peek()
		for !ok {
			must(err)
			sys.Pause(pauses)
			item, ok, err = c.Peek()
		}
		expect(item, i)
		c.Release()
	}
	sys.ReleaseStore64(&s.pong, n)
}

// ringPutBatches is ringPut with one reservation and one Commit for 64 items.
func ringPutBatches(s *board, n uint64) {
	p := s.producer(0)
	for i := uint64(0); i < n; p.Commit() {
		count := int(min(64, n-i))
		room, ok, err := p.ReserveRun(count, itemBytes)
		for !ok {
			must(err)
			sys.Pause(1)
			room, ok, err = p.ReserveRun(count, itemBytes)
		}
		for ; len(room) >= itemBytes; room = room[itemBytes:] {
			binary.NativeEndian.PutUint64(room, i)
			i++
		}
	}
	await(&s.pong, n)
}

// ringTakeBatches is ringTake with one Release for the items of a Commit.
func ringTakeBatches(s *board, n uint64) {
	c := s.consumer(0)
	for i := uint64(0); i < n; c.Release() {
		items, _, ok, err := c.PeekRun()
		for !ok {
			must(err)
			sys.Pause(pauses)
			items, _, ok, err = c.PeekRun()
		}
		for ; len(items) >= itemBytes; items = items[itemBytes:] {
			expect(items, i)
			i++
		}
	}
	sys.ReleaseStore64(&s.pong, n)
}
