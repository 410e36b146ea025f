package semaphore_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/semaphore"
)

// A ledger knows how many permits are held, from the holders' own accounts.
type ledger struct {
	held, served, cancelled atomic.Int64
	overdrawn               atomic.Bool
}

// use acquires n permits, enters them, and gives them back.
func (l *ledger) use(ctx context.Context, s *semaphore.Semaphore, n, capacity int64) {
	if s.Acquire(ctx, n) != nil {
		l.cancelled.Add(1)
		return
	}
	if l.held.Add(n) > capacity {
		l.overdrawn.Store(true)
	}
	runtime.Gosched()
	l.held.Add(-n)
	l.served.Add(1)
	s.Release(n)
}

// Waiters come and are cancelled in any order, on several handles that nobody
// but the protocol connects, and sleep until they are told: no permit is lost or doubled, and
// nobody is forgotten.
func TestStormLosesNothing(t *testing.T) {
	t.Run("plain", func(t *testing.T) { stormLosesNothing(t, newSemaphore) })
	t.Run("robust", func(t *testing.T) { stormLosesNothing(t, newRobust) })
}

func stormLosesNothing(t *testing.T, handlesOn func(t testing.TB, permits int64, handles int) []*semaphore.Semaphore) {
	rapid.Check(t, func(rt *rapid.T) {
		capacity := rapid.Int64Range(1, 3).Draw(rt, "capacity")
		handles := handlesOn(t, capacity, rapid.IntRange(1, 3).Draw(rt, "handles"))
		for _, s := range handles {
			s.Unbounded()
		}
		handles[0].Single().Store(rapid.SampledFrom([]uint32{0, math.MaxUint32 - 9}).Draw(rt, "single"))
		handles[0].Many().Store(rapid.SampledFrom([]uint32{0, math.MaxUint32 - 9}).Draw(rt, "many"))
		var l ledger
		const goroutines, uses = 6, 8
		done := make(chan struct{}, goroutines)
		for g := range goroutines {
			s := handles[g%len(handles)]
			weights := rapid.SliceOfN(rapid.Int64Range(1, capacity), uses, uses).Draw(rt, fmt.Sprint("weights", g))
			patience := rapid.SliceOfN(rapid.IntRange(0, 60), uses, uses).Draw(rt, fmt.Sprint("patience", g))
			go func() {
				defer func() { done <- struct{}{} }()
				for i := range uses {
					ctx, cancel := impatient(patience[i])
					l.use(ctx, s, weights[i], capacity)
					cancel()
				}
			}()
		}
		for range goroutines {
			recv(t, done, "the end of a goroutine")
		}
		assert.False(rt, l.overdrawn.Load(), "more permits held than there are")
		assert.EqualValues(rt, goroutines*uses, l.served.Load()+l.cancelled.Load())
		assert.EqualValues(rt, capacity, handles[0].Value(), "permits lost or doubled")
	})
}

// impatient returns a context that ends after others have had some turns, or, for
// the upper half, never.
func impatient(turns int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	if turns < 30 {
		go func() {
			for range turns {
				runtime.Gosched()
			}
			cancel()
		}()
	}
	return ctx, cancel
}

// Everybody takes and gives back as fast as can be: the changes of the count are
// atomic, or some get lost.
func TestCountSurvivesContention(t *testing.T) {
	const goroutines, rounds = 4, 200_000
	handles := newSemaphore(t, 3, goroutines)
	done := make(chan struct{}, goroutines)
	for g, s := range handles {
		n := int64(1 + g%2)
		go func() {
			for range rounds {
				if s.TryAcquire(n) {
					s.Release(n)
				}
			}
			done <- struct{}{}
		}()
	}
	for range goroutines {
		recv(t, done, "the end of a goroutine")
	}
	assert.EqualValues(t, 3, handles[0].Value())
}

// A permit comes free just as the waiter who is told of it leaves: the other process
// must get it, though it is told of nothing else.
func TestWakeUpOfOneWhoLeavesIsPassedOn(t *testing.T) {
	for name, behind := range map[string]int64{"nobody behind": 0, "one behind who wants more": 2} {
		t.Run(name, func(t *testing.T) {
			for range 300 {
				passOn(t, behind)
			}
		})
	}
}

func passOn(t *testing.T, behind int64) {
	h := newSemaphore(t, 2, 2)
	a, b := h[0], h[1]
	a.Unbounded()
	b.Unbounded()
	require.True(t, a.TryAcquire(2))
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	leaves := acquire(ctx, a, 1)
	until(t, "asleep", a.Asleep)
	var more <-chan error
	if behind > 0 {
		more = acquire(watched(t), a, behind)
		until(t, "queued", func() bool { return a.Waiters() == 2 })
	}
	stays := acquire(watched(t), b, 1)
	until(t, "asleep", b.Asleep)
	go leave()
	for range rand.IntN(40) { // so that it leaves now before it is woken, now after
		runtime.Gosched()
	}
	b.Release(1)
	if recv(t, leaves, "a result") == nil {
		a.Release(1)
	}
	require.NoError(t, recv(t, stays, "the permit, passed on"))
	b.Release(2)
	if more != nil {
		require.NoError(t, recv(t, more, "both permits"))
		a.Release(2)
	}
	require.EqualValues(t, 2, a.Value())
}
