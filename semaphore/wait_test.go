package semaphore_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// A cancelled waiter leaves at once, and the last one takes the sleeping server along.
func TestCancelEndsTheWaitAndTheServer(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	s := newSemaphore(t, 1, 1)[0]
	s.Unbounded()
	require.True(t, s.TryAcquire(1))
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		done := acquire(ctx, s, 1)
		until(t, "asleep", s.Asleep)
		cancel()
		assert.ErrorIs(t, recv(t, done, "the end of the wait"), context.Canceled)
		require.NoError(t, goleak.Find(ignore))
	}
	assert.Zero(t, s.Waiters())
	s.Release(1)
	assert.EqualValues(t, 1, s.Value())
}

// The first waiter's place passes to the next even if that one wants less.
func TestCancelledFirstMakesRoomForTheNext(t *testing.T) {
	s := newSemaphore(t, 2, 1)[0]
	s.Unbounded()
	require.True(t, s.TryAcquire(1))
	ctx, cancel := context.WithCancel(t.Context())
	big := acquire(ctx, s, 2)
	until(t, "asleep", s.Asleep)
	small := acquire(watched(t), s, 1)
	until(t, "queued", func() bool { return s.Waiters() == 2 })
	assert.False(t, s.TryAcquire(1), "overtook two who wait")
	cancel()
	assert.ErrorIs(t, recv(t, big, "cancelled"), context.Canceled)
	assert.NoError(t, recv(t, small, "the permit that was free all the time"))
	s.Release(2)
}

func TestWaitersOfAHandleAreServedInOrder(t *testing.T) {
	const n = 50
	s := newSemaphore(t, 1, 1)[0]
	s.Unbounded()
	require.True(t, s.TryAcquire(1))
	order := make(chan int, n)
	ctx := watched(t)
	for i := range n {
		go func() {
			assert.NoError(t, s.Acquire(ctx, 1))
			order <- i
			s.Release(1)
		}()
		until(t, "queued", func() bool { return s.Waiters() == i+1 })
	}
	s.Release(1)
	for i := range n {
		assert.Equal(t, i, recv(t, order, "a turn"))
	}
}

func TestManyWaitersFewThreads(t *testing.T) {
	const n = 2000
	s := newSemaphore(t, 1, 1)[0]
	s.Unbounded()
	require.True(t, s.TryAcquire(1))
	before := threads(t)
	done := make(chan error, n)
	ctx := watched(t)
	for range n {
		go func() {
			done <- s.Acquire(ctx, 1)
			s.Release(1)
		}()
	}
	until(t, "all wait", func() bool { return s.Waiters() == n && s.Asleep() })
	assert.LessOrEqual(t, threads(t), before+16, "%d goroutines wait", n)
	s.Release(1)
	for range n {
		require.NoError(t, recv(t, done, "a permit"))
	}
	until(t, "all released", func() bool { return s.Value() == 1 })
}

func threads(t *testing.T) int {
	tasks, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	return len(tasks)
}

// Two processes wait for one permit each, and two come free in one call.
func TestReleaseOfManyWakesMany(t *testing.T) {
	h := newSemaphore(t, 2, 2)
	require.True(t, h[0].TryAcquire(2))
	var done [2]<-chan error
	for i, s := range h {
		s.Unbounded()
		done[i] = acquire(watched(t), s, 1)
		until(t, "asleep", s.Asleep)
	}
	h[0].Release(2)
	for i := range done {
		require.NoError(t, recv(t, done[i], "a permit"))
	}
}

// Of those who wait for several permits the first to sleep cannot use what came
// free, the second can: it must be told.
func TestWhoWantsLessIsToldToo(t *testing.T) {
	for range 10 {
		h := newSemaphore(t, 3, 2)
		require.True(t, h[0].TryAcquire(3))
		var done [2]<-chan error
		for i, s := range h {
			s.Unbounded()
			done[i] = acquire(watched(t), s, int64(3-i))
			until(t, "asleep", s.Asleep)
		}
		h[0].Release(2)
		require.NoError(t, recv(t, done[1], "two permits"))
		h[1].Release(3)
		require.NoError(t, recv(t, done[0], "three permits"))
	}
}

// The memory goes away as soon as the last waiter was cancelled and Close returned: a
// server that looked at it later would crash the test.
func TestCloseWaitsForTheServer(t *testing.T) {
	for range 300 {
		s, err := semaphore.New(1)
		require.NoError(t, err)
		s.Unbounded()
		require.True(t, s.TryAcquire(1))
		ctx, cancel := context.WithCancel(t.Context())
		done := acquire(ctx, s, 1)
		go cancel()
		require.ErrorIs(t, recv(t, done, "cancelled"), context.Canceled)
		require.NoError(t, s.Close())
	}
}

func TestNewIsShared(t *testing.T) {
	s, err := semaphore.New(2)
	require.NoError(t, err)
	f, data, ended, err := s.Share()
	require.NoError(t, err)
	assert.Nil(t, ended)
	other := new(semaphore.Semaphore)
	require.NoError(t, other.Adopt(f, data))
	require.True(t, other.TryAcquire(2))
	done := acquire(watched(t), s, 1)
	until(t, "asleep", s.Asleep)
	other.Release(2)
	require.NoError(t, recv(t, done, "a permit"))
	require.NoError(t, other.Close())
	require.NoError(t, s.Close())
	_, _, _, err = s.Share()
	assert.ErrorIs(t, err, os.ErrClosed)

	_, err = semaphore.New(-7)
	assert.EqualError(t, err, "make semaphore: -7 permits: want at least 1")
}

func TestWhatCannotBeShared(t *testing.T) {
	s, err := semaphore.NewAt(make([]byte, semaphore.Size), 1)
	require.NoError(t, err)
	_, _, _, err = s.Share()
	assert.ErrorIs(t, err, os.ErrInvalid)

	p, err := shm.NewPiece("not a semaphore", semaphore.Size)
	require.NoError(t, err)
	f, data, err := p.Share()
	require.NoError(t, err)
	assert.ErrorContains(t, new(semaphore.Semaphore).Adopt(f, data), "magic 0x0")
	assert.Error(t, new(semaphore.Semaphore).Adopt(f, nil))
	require.NoError(t, p.Close())
}
