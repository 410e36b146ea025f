package semaphore_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
)

// hostileTallies are what somebody writes into places who must not.
var hostileTallies = [8]uint64{0, 1, 1 << 20, 1<<20 | 1, 1<<20 - 1, 1<<40 - 1<<20, 1<<40 - 1, 1<<64 - 1}

// FuzzCond: whatever lies behind the header, and is written there while somebody waits, every operation ends. Who waits has the lock then, which is
// sound, and was signalled, or its context has ended, or the error says what is wrong. The fuzzer writes the first seats, and the first places,
// which are the last part.
func FuzzCond(f *testing.F) {
	const (
		front  = (2 + fuzzedSeats) * layout.Line
		places = semaphore.CondSize - 16*semaphore.Seats
		fuzzed = front + 16*fuzzedSeats
	)
	newLock := func(t testing.TB) *semaphore.Mutex {
		m, err := semaphore.NewMutexAt(layout.SliceBytes(make([]uint64, semaphore.MutexSize/8)))
		require.NoError(t, err)
		return m
	}
	mem := layout.SliceBytes(make([]uint64, semaphore.CondSize/8))
	_, err := semaphore.NewCondAt(mem, newLock(f))
	require.NoError(f, err)
	header := append([]byte(nil), mem[:layout.HeaderSize]...)
	second := layout.MustAt[uint64](mem, 3*layout.Line) // whose the second seat is
	tallies := layout.MustSlice[[2]uint64](mem, places, fuzzedSeats)
	own := byte(2) // the tally of who attaches itself
	for _, dead := range []uint64{0, deadProcess(f)} {
		*second = dead
		for _, tally := range []uint64{0, 1, 1 << 20} {
			tallies[0][0], tallies[1][0] = tally, tally
			src := append(append([]byte(nil), mem[:front]...), mem[places:places+16*fuzzedSeats]...)
			for v := range byte(8) {
				f.Add(src, []byte{6, 0, 192 + 8*v + own, 2, 1, 0, 3, 5, 7, 0, 192 + 8*v, 1, 4, 0, 1})
			}
			f.Add(src, []byte{0, 2, 0, 4, 1, 5, 3, 151, 2, 0, 7, 4, 0, 130, 1, 0, 140, 1}) // the first is where places end
		}
		own = 4
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		mem := layout.SliceBytes(make([]uint64, semaphore.CondSize/8+2))
		src = src[:min(len(src), fuzzed)]
		copy(mem[:front], src)
		copy(mem[places:], src[min(len(src), front):])
		copy(mem, header)
		m := newLock(t)
		c, err := semaphore.AttachCond(mem[:semaphore.CondSize], m)
		require.NoError(t, err)
		tallies := layout.MustSlice[atomic.Uint64](mem, places, 2*fuzzedSeats)
		var waits []<-chan error
		ctx, cancel := context.WithCancel(context.Background())
		end := func() {
			cancel()
			for _, done := range waits {
				requireWaited(t, recv(t, done, "Wait ends"))
			}
			waits = nil
			ctx, cancel = context.WithCancel(context.Background())
		}
		for i, b := range script[:min(len(script), 64)] {
			switch {
			case b >= 192:
				tallies[b%8].Store(hostileTallies[b/8%8])
			case b >= 128:
				scribble(mem, front, i, b)
			case b%8 == 0:
				waits = append(waits, waitOn(ctx, c))
			case b%8 == 1:
				end()
			case b%8 == 2:
				c.Signal()
			case b%8 == 3:
				c.Notify(int(b))
			case b%8 == 4:
				c.Broadcast()
			default:
				requireWaited(t, <-waitOn(expired(), c))
			}
		}
		end()
		cancel()
		if err := c.Close(); err != nil {
			require.ErrorIs(t, err, semaphore.ErrCorrupted) // its seat is another's
		}
		require.NoError(t, m.Close())
		requireBehind(t, mem, semaphore.CondSize)
	})
}

// waitOn has somebody wait, and returns when that one has the lock, or had.
func waitOn(ctx context.Context, c *semaphore.Cond) <-chan error {
	begun, done := make(chan struct{}), make(chan error, 1)
	go func() {
		err := c.L.Lock(context.Background())
		close(begun)
		if err == nil {
			err = c.Wait(ctx)
			c.L.Unlock() // panics if it does not hold it
		}
		done <- err
	}()
	<-begun
	return done
}

func requireWaited(t *testing.T, err error) {
	if err != nil && !errors.Is(err, semaphore.ErrCorrupted) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		require.True(t, strings.HasSuffix(err.Error(), "wait on this handle already"), "%v", err)
	}
}
