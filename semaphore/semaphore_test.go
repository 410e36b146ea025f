package semaphore_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
)

func TestNewAtRefusesBadInput(t *testing.T) {
	for name, tt := range map[string]struct {
		size int
		n    int64
		want string
	}{
		"negative": {semaphore.Size, -3, "-3 permits: want at least 1"},
		"none":     {semaphore.Size, 0, "0 permits: want at least 1"},
		"short":    {semaphore.Size - 1, 1, "memory of 255 bytes, a semaphore takes 256"},
		"nil":      {0, 1, "memory of 0 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := semaphore.NewAt(make([]byte, tt.size), tt.n)
			assert.ErrorContains(t, err, tt.want)
		})
	}
	_, err := semaphore.NewAt(make([]byte, semaphore.Size+8)[1:], 1)
	assert.ErrorContains(t, err, "aligned")
}

func TestAttachRefusesWhatIsNoSemaphore(t *testing.T) {
	mem := make([]byte, semaphore.Size)
	_, err := semaphore.Attach(mem)
	assert.ErrorIs(t, err, layout.ErrNotShmkit)
	_, err = semaphore.Attach(mem[:8])
	assert.ErrorContains(t, err, "memory of 8 bytes")
	require.NoError(t, layout.Init(mem, layout.KindSPSC, 1))
	_, err = semaphore.Attach(mem)
	assert.ErrorIs(t, err, layout.ErrKind)
	require.NoError(t, layout.Init(mem, layout.KindSemaphore, 1<<63))
	_, err = semaphore.Attach(mem)
	assert.ErrorIs(t, err, semaphore.ErrCorrupted)
}

func TestMoreMemoryThanNeededIsLeftAlone(t *testing.T) {
	mem := make([]byte, 2*semaphore.Size)
	_, err := semaphore.NewAt(mem, 2)
	require.NoError(t, err)
	assert.Equal(t, make([]byte, semaphore.Size), mem[semaphore.Size:])
	s, err := semaphore.Attach(mem)
	require.NoError(t, err)
	assert.EqualValues(t, 2, s.Value())
}

// The layout is an interface between processes: a change needs a new layout.Version.
func TestLayout(t *testing.T) {
	require.NoError(t, layout.Viewable(semaphore.BodyType))
	assert.EqualValues(t, semaphore.Size, semaphore.BodyType.Size())
	for name, off := range map[string]uintptr{"header": 0, "free": 64, "single": 72, "many": 76, "turn": 80, "claim": 128} {
		f, ok := semaphore.BodyType.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
}

func TestPermitsAreCounted(t *testing.T) {
	for permits := int64(1); permits <= 3; permits++ {
		h := newSemaphore(t, permits, 2)
		a, b := h[0], h[1]
		require.NoError(t, a.Acquire(t.Context(), permits))
		assert.Zero(t, b.Value())
		assert.False(t, b.TryAcquire(1))
		a.Release(1)
		assert.EqualValues(t, 1, b.Value())
		assert.True(t, b.TryAcquire(1))
		assert.True(t, a.TryAcquire(0), "nothing is always free")
		b.Release(permits)
		assert.EqualValues(t, permits, a.Value())
	}
}

func TestMisusePanics(t *testing.T) {
	s := newSemaphore(t, 2, 1)[0]
	assert.PanicsWithValue(t, "semaphore: released more than held: 1 with 2 of 2 free", func() { s.Release(1) })
	assert.Panics(t, func() { s.Release(math.MaxInt64) })
	assert.PanicsWithValue(t, "semaphore: Release of -1 permits: negative", func() { s.Release(-1) })
	assert.Panics(t, func() { s.TryAcquire(-1) })
	assert.Panics(t, func() { _ = s.Acquire(t.Context(), -1) })
	assert.EqualValues(t, 2, s.Value(), "a panic changed the count")
}

func TestMoreThanThereIsFailsAtOnce(t *testing.T) {
	s := newSemaphore(t, 2, 1)[0]
	assert.EqualError(t, s.Acquire(t.Context(), 3), "acquire semaphore: 3 permits of 2 can never be had")
	assert.False(t, s.TryAcquire(3))
}

func TestCorruptedCountIsAnError(t *testing.T) {
	s := newSemaphore(t, 2, 1)[0]
	for _, free := range []int64{-1, 3, math.MaxInt64, math.MinInt64} {
		s.Free().Store(free)
		assert.ErrorIs(t, s.Acquire(t.Context(), 1), semaphore.ErrCorrupted)
		assert.False(t, s.TryAcquire(1))
		assert.Contains(t, []int64{0, 2}, s.Value())
		assert.Panics(t, func() { s.Release(1) })
	}
	s.Free().Store(0) // and in the middle of a wait
	done := acquire(watched(t), s, 1)
	until(t, "waiting", func() bool { return s.Asleep() })
	s.Free().Store(-1)
	assert.ErrorIs(t, recv(t, done, "the error"), semaphore.ErrCorrupted)
}

func TestEndedContext(t *testing.T) {
	s := newSemaphore(t, 1, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, s.Acquire(ctx, 1), context.Canceled, "although a permit is free")
	assert.EqualValues(t, 1, s.Value())
}

// Every wake-up steps the sequence, so words that did not move saw no system call.
func TestFreePathMakesNoSystemCall(t *testing.T) {
	s := newSemaphore(t, 3, 1)[0]
	for i := range int64(1000) {
		require.NoError(t, s.Acquire(t.Context(), 1+i%3))
		s.Release(1 + i%3)
	}
	assert.Zero(t, s.Single().Load())
	assert.Zero(t, s.Many().Load())
}

func TestFreePathDoesNotAllocate(t *testing.T) {
	s := newSemaphore(t, 3, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if err := s.Acquire(ctx, 1); err != nil {
			t.Error(err)
		}
		s.Release(1)
	}))
}

// The permits order plain memory, as a lock does: the race detector says if not.
func TestPermitOrdersMemory(t *testing.T) {
	for name, s := range map[string]*semaphore.Semaphore{
		"in the heap":  newSemaphore(t, 1, 1)[0],
		"in a mapping": newStage(t, 1).Semaphore,
	} {
		t.Run(name, func(t *testing.T) { permitOrdersMemory(t, s) })
	}
}

func permitOrdersMemory(t *testing.T, s *semaphore.Semaphore) {
	s.Unbounded()
	const goroutines, rounds = 4, 500
	counter := 0
	var failed atomic.Pointer[error]
	done := make(chan struct{}, goroutines)
	ctx := watched(t)
	for range goroutines {
		go func() {
			defer func() { done <- struct{}{} }()
			for range rounds {
				if err := s.Acquire(ctx, 1); err != nil {
					err = errors.Join(errors.New("acquire"), err)
					failed.Store(&err)
					return
				}
				counter++
				s.Release(1)
			}
		}()
	}
	for range goroutines {
		recv(t, done, "a goroutine's end")
	}
	require.Nil(t, failed.Load())
	assert.Equal(t, goroutines*rounds, counter)
}
