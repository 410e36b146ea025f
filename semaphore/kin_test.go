package semaphore_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// Handles that travel are on the same object, and each has a seat of its own.
func TestKinAreShared(t *testing.T) {
	s, err := semaphore.NewRobust(2)
	require.NoError(t, err)
	f, data, ended, err := s.Share()
	require.NoError(t, err)
	assert.Nil(t, ended)
	s2 := new(semaphore.Semaphore)
	require.NoError(t, s2.Adopt(f, data))
	require.True(t, s2.Robust())
	require.True(t, s2.TryAcquire(2))
	done := acquire(watched(t), s, 1)
	until(t, "asleep", s.Asleep)
	require.NoError(t, s2.Close(), "which gives back what it has")
	require.NoError(t, recv(t, done, "a permit"))
	require.NoError(t, s.Close())

	b, err := semaphore.NewBarrier(2)
	require.NoError(t, err)
	f, data, _, err = b.Share()
	require.NoError(t, err)
	b2 := new(semaphore.Barrier)
	require.NoError(t, b2.Adopt(f, data))
	requirePasses(t, []*semaphore.Barrier{b, b2}, 2)
	require.NoError(t, b2.Close())
	require.NoError(t, b.Close())

	o, err := semaphore.NewOnce()
	require.NoError(t, err)
	f, data, _, err = o.Share()
	require.NoError(t, err)
	o2 := new(semaphore.Once)
	require.NoError(t, o2.Adopt(f, data))
	require.NoError(t, o.Do(t.Context(), succeed))
	require.True(t, o2.Done())
	require.NoError(t, o2.Close())
	require.NoError(t, o.Close())
}

func TestKinThatCannotBeShared(t *testing.T) {
	_, _, _, err := newRobust(t, 1, 1)[0].Share()
	assert.ErrorIs(t, err, os.ErrInvalid)
	_, _, _, err = newBarrier(t, 1, 1)[0].Share()
	assert.ErrorIs(t, err, os.ErrInvalid)
	_, _, _, err = newOnce(t, 1)[0].Share()
	assert.ErrorIs(t, err, os.ErrInvalid)

	p, err := shm.NewPiece("none of them", semaphore.BarrierSize)
	require.NoError(t, err)
	f, data, err := p.Share()
	require.NoError(t, err)
	assert.ErrorIs(t, new(semaphore.Barrier).Adopt(f, data), layout.ErrNotShmkit)
	assert.ErrorIs(t, new(semaphore.Once).Adopt(f, data), layout.ErrNotShmkit)
	require.NoError(t, p.Close())
}

// Close waits for those who wait on the handle.
func TestKinCloseWaits(t *testing.T) {
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := semaphore.NewRobust(1)
		require.NoError(t, err)
		require.True(t, s.TryAcquire(1))
		b, err := semaphore.NewBarrier(2)
		require.NoError(t, err)
		acquires, waits := acquire(ctx, s, 1), waitAt(ctx, b)
		until(t, "they wait", func() bool { return s.Waiters() == 1 && b.Waiting() == 1 })
		go cancel()
		require.ErrorIs(t, recv(t, acquires, "it leaves"), context.Canceled)
		require.NoError(t, s.Close())
		require.NoError(t, b.Close())
		require.ErrorIs(t, recv(t, waits, "it has left").err, context.Canceled)
	}
}

// When all seats are taken by the living, one more handle is an error that says so.
func TestKinSeats(t *testing.T) {
	mem := robustBytes()
	h := newRobustIn(t, mem, 1, semaphore.Seats)
	_, err := semaphore.Attach(mem)
	require.ErrorIs(t, err, semaphore.ErrNoSeat)
	require.ErrorContains(t, err, "attach semaphore: 256 handles are open")
	h[7].SetOwner(9, endedID(t))
	s, err := semaphore.Attach(mem)
	require.NoError(t, err, "the seat of a dead process")
	require.NoError(t, s.Close())
	h[7].SetOwner(9, h[7].Owner())
}
