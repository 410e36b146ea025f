package semaphore_test

import (
	"context"
	"math"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

func TestRobustRefusesBadInput(t *testing.T) {
	for name, tt := range map[string]struct {
		size int
		n    int64
		want string
	}{
		"negative": {semaphore.RobustSize, -3, "-3 permits: want 1 to 65535"},
		"none":     {semaphore.RobustSize, 0, "0 permits: want 1 to 65535"},
		"too many": {semaphore.RobustSize, 1 << 16, "65536 permits: want 1 to 65535"},
		"short":    {semaphore.RobustSize - 1, 1, "memory of 33151 bytes, a robust semaphore takes 33152"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := semaphore.NewRobustAt(make([]byte, tt.size), tt.n)
			assert.ErrorContains(t, err, tt.want)
		})
	}
	_, err := semaphore.NewRobust(0)
	assert.ErrorContains(t, err, "0 permits: want 1 to 65535")
}

// Attach tells the kinds apart, and refuses what is neither.
func TestRobustAttach(t *testing.T) {
	mem := layout.SliceBytes(make([]uint64, semaphore.RobustSize/8))
	s, err := semaphore.NewRobustAt(mem, 3)
	require.NoError(t, err)
	other, err := semaphore.Attach(mem)
	require.NoError(t, err)
	assert.True(t, s.Robust() && other.Robust())
	_, err = semaphore.Attach(mem[:semaphore.Size])
	assert.ErrorContains(t, err, "memory of 256 bytes, a robust semaphore takes 33152")
	require.NoError(t, s.Close())
	require.NoError(t, other.Close())

	assert.False(t, newSemaphore(t, 1, 1)[0].Robust())
	require.NoError(t, owner.Init(mem, layout.KindRobust, 1<<16))
	_, err = semaphore.Attach(mem)
	assert.ErrorIs(t, err, semaphore.ErrCorrupted)
	require.NoError(t, layout.Init(mem, layout.KindBarrier, 2))
	_, err = semaphore.Attach(mem)
	assert.ErrorIs(t, err, layout.ErrKind)
}

func TestRobustCounts(t *testing.T) {
	for permits := int64(1); permits <= 3; permits++ {
		h := newRobust(t, permits, 3)
		a, b := h[0], h[1]
		require.NoError(t, a.Acquire(t.Context(), permits))
		assert.Zero(t, b.Value())
		assert.False(t, b.TryAcquire(1))
		a.Release(1)
		assert.EqualValues(t, 1, b.Value())
		assert.True(t, b.TryAcquire(1))
		assert.True(t, a.TryAcquire(0), "nothing is always free")
		assert.Equal(t, []int64{permits - 1, 1, 0}, []int64{a.Held(), b.Held(), h[2].Held()})
		b.Release(1)
		a.Release(permits - 1)
		assert.EqualValues(t, permits, a.Value())
		assert.Equal(t, []int64{0, 0, 0}, []int64{a.Held(), b.Held(), h[2].Held()})
	}
}

// What a handle does not have it cannot give, though another has it.
func TestRobustMisusePanics(t *testing.T) {
	h := newRobust(t, 3, 2)
	require.True(t, h[0].TryAcquire(2))
	require.True(t, h[1].TryAcquire(1))
	for range 2 {
		assert.PanicsWithValue(t, "semaphore: released more than held: 2 with 1 held by this handle and 0 of 3 free", func() { h[1].Release(2) })
		assert.Panics(t, func() { h[0].Release(math.MaxInt64) })
		h[0].Release(1) // changes whom the word names
		require.True(t, h[0].TryAcquire(1))
	}
	assert.PanicsWithValue(t, "semaphore: Release of -1 permits: negative", func() { h[0].Release(-1) })
	assert.Panics(t, func() { h[0].TryAcquire(-1) })
	assert.EqualError(t, h[0].Acquire(t.Context(), 4), "acquire semaphore: 4 permits of 3 can never be had")
}

// A handle that is closed gives back what it has, and its seat.
func TestRobustClose(t *testing.T) {
	mem := robustBytes()
	h := newRobustIn(t, mem, 3, 1)
	for range 2 * semaphore.Seats {
		s, err := semaphore.Attach(mem)
		require.NoError(t, err)
		require.Zero(t, s.Held())
		require.True(t, s.TryAcquire(2))
		require.NoError(t, s.Close())
		require.EqualValues(t, 3, h[0].Value())
	}
}

func TestRobustLayout(t *testing.T) {
	require.NoError(t, layout.Viewable(semaphore.RobustBodyType))
	assert.EqualValues(t, semaphore.RobustSize, semaphore.RobustBodyType.Size())
	for name, off := range map[string]uintptr{"body": 0, "roll": 256} {
		f, ok := semaphore.RobustBodyType.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
	for name, off := range map[string]uintptr{"joined": 0, "seats": 128} {
		f, ok := semaphore.RollType.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
	for name, off := range map[string]uintptr{"owner": 0, "count": 8} {
		f, ok := semaphore.SeatType.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
	assert.EqualValues(t, layout.Line, semaphore.SeatType.Size())
}

// The number in the word wraps, whatever the capacity leaves of it.
func TestRobustNumberWraps(t *testing.T) {
	for _, permits := range []int64{1, 2, 255, semaphore.MaxRobust} {
		h := newRobust(t, permits, 2)
		h[0].Free().Store(h[0].Free().Load() | math.MinInt64>>20) // ones from the top: near the last number
		for i := range int64(3000) {
			s, n := h[i%2], 1+i%permits
			require.True(t, s.TryAcquire(n))
			require.EqualValues(t, permits-n, s.Value())
			require.EqualValues(t, n, s.Held())
			s.Release(n)
		}
		assert.EqualValues(t, permits, h[0].Value())
	}
}

// endedID is the ID of a process that has ended.
func endedID(t testing.TB) owner.ID {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	require.NoError(t, cmd.Start())
	id, err := owner.Of(cmd.Process.Pid)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	return id
}

// reusedID is the ID of a process that had the pid of this one, and started at another time.
func reusedID(t testing.TB) owner.ID {
	id, err := owner.Of(os.Getpid())
	require.NoError(t, err)
	return id ^ 1<<40
}

// Who had permits is found to be dead by whoever wants them first: by a TryAcquire, and by one who waits. A pid that belongs to another
// process by now changes nothing.
func TestRobustOfTheDead(t *testing.T) {
	for name, id := range map[string]owner.ID{"dead": endedID(t), "pid reused": reusedID(t)} {
		for _, waits := range []bool{false, true} {
			for _, named := range []bool{false, true} { // the word names the dead one's seat
				h := newRobust(t, 3, 3)
				dead, s := h[1], h[2]
				require.True(t, dead.TryAcquire(2))
				if !named {
					require.True(t, s.TryAcquire(1))
				}
				s.SetOwner(1, id)
				if waits {
					require.NoError(t, s.Acquire(watched(t), 2), name)
				} else {
					require.True(t, s.TryAcquire(2), name)
				}
				assert.EqualValues(t, map[bool]int64{true: 1, false: 0}[named], s.Value(), name)
				s.Release(s.Held())
				assert.EqualValues(t, 3, h[0].Value(), "nothing is given back twice")
				s.SetOwner(1, h[0].Owner()) // so that it can be closed
			}
		}
	}
}

// Any value in any word gives an error, or the panic for what is not held, and no endless loop.
func TestRobustCorrupted(t *testing.T) {
	h := newRobust(t, 2, 2)
	s, was := h[0], h[0].Free().Load()
	for _, w := range []int64{-1, 3, 3 << 2, 2 | 1<<2, 3 | 1<<4, 3<<2 | 1<<4} { // too many free, too many held, by this seat and by another
		s.Free().Store(w)
		assert.ErrorIs(t, s.Acquire(t.Context(), 1), semaphore.ErrCorrupted, "%#x", w)
		assert.False(t, s.TryAcquire(1))
		assert.LessOrEqual(t, s.Value(), int64(2))
		assert.Panics(t, func() { s.Release(1) })
	}
	s.Free().Store(0 | 2<<2 | 1<<4) // the other has all
	done := acquire(watched(t), s, 1)
	until(t, "waiting", func() bool { return s.Asleep() })
	s.Free().Store(-1)
	assert.ErrorIs(t, recv(t, done, "the error"), semaphore.ErrCorrupted)
	s.Free().Store(was)
}

func TestRobustEndedContext(t *testing.T) {
	s := newRobust(t, 1, 1)[0]
	ctx, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	assert.ErrorIs(t, s.Acquire(ctx, 1), context.DeadlineExceeded, "although a permit is free")
	assert.EqualValues(t, 1, s.Value())
	assert.Zero(t, s.Held())
}

func TestRobustFreePath(t *testing.T) {
	s := newRobust(t, 3, 1)[0]
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if err := s.Acquire(context.Background(), 2); err != nil {
			t.Error(err)
		}
		s.Release(2)
	}))
	assert.Zero(t, s.Single().Load(), "a wake-up steps the word: there was none, and no system call")
	assert.Zero(t, s.Many().Load())
}

// Several goroutines of each of several handles take and give as fast as can be, with others that come and go and leave what they have.
func TestRobustSurvivesContention(t *testing.T) {
	const handles, goroutines, rounds = 2, 2, 30_000
	mem := robustBytes()
	h := newRobustIn(t, mem, 3, handles)
	var all sync.WaitGroup
	for i := range handles * goroutines {
		s, n := h[i%handles], int64(1+i/handles)
		all.Go(func() {
			for range rounds {
				if s.TryAcquire(n) {
					s.Release(n)
				}
			}
		})
	}
	all.Go(func() {
		for range rounds / 100 {
			s, err := semaphore.Attach(mem)
			if err != nil {
				t.Error(err)
				return
			}
			s.TryAcquire(1)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	assert.EqualValues(t, 3, h[0].Value())
}

func TestRobustOrdersMemory(t *testing.T) {
	permitOrdersMemory(t, newRobust(t, 1, 1)[0])
	mapped, err := semaphore.NewRobust(1)
	require.NoError(t, err)
	permitOrdersMemory(t, mapped)
	require.NoError(t, mapped.Close())
}

// Goroutines of one handle are served in the order in which they came.
func TestRobustServesInOrder(t *testing.T) {
	s := newRobust(t, 1, 1)[0]
	require.True(t, s.TryAcquire(1))
	const goroutines = 8
	var order []int // guarded by the permit
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			if err := s.Acquire(watched(t), 1); err != nil {
				t.Error(err)
				return
			}
			order = append(order, i)
			s.Release(1)
		})
		until(t, "it waits", func() bool { return s.Waiters() == i+1 })
	}
	assert.False(t, s.TryAcquire(0), "a newcomer overtakes nobody")
	s.Release(1)
	all.Wait()
	assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7}, order)
}
