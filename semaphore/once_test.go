package semaphore_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

// newOnce makes a once, and as many handles as asked for. Who waits on them sleeps until it is told.
func newOnce(t testing.TB, handles int) []*semaphore.Once {
	all := semaphore.Handles(t, layout.SliceBytes(make([]uint64, semaphore.OnceSize/8)), handles, semaphore.NewOnceAt, semaphore.AttachOnce)
	for _, o := range all {
		o.Unbounded()
	}
	return all
}

func do(ctx context.Context, o *semaphore.Once, f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- o.Do(ctx, f) }()
	return done
}

func succeed() error { return nil }

var errFailed = errors.New("failed")

func TestOnceRefusesBadInput(t *testing.T) {
	_, err := semaphore.NewOnceAt(make([]byte, semaphore.OnceSize-1))
	assert.ErrorContains(t, err, "memory of 127 bytes, a once takes 128")
	mem := make([]byte, semaphore.OnceSize)
	_, err = semaphore.AttachOnce(mem)
	assert.ErrorIs(t, err, layout.ErrNotShmkit)
	require.NoError(t, layout.Init(mem, layout.KindMutex))
	_, err = semaphore.AttachOnce(mem)
	assert.ErrorIs(t, err, layout.ErrKind)
}

func TestOnceLayout(t *testing.T) {
	require.NoError(t, layout.Viewable(semaphore.OnceBodyType))
	assert.EqualValues(t, semaphore.OnceSize, semaphore.OnceBodyType.Size())
	for name, off := range map[string]uintptr{"header": 0, "word": 64, "changed": 72} {
		f, ok := semaphore.OnceBodyType.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
}

// Of many who come, one at a time does it, until one succeeds. All see what was done.
func TestOnceIsDoneOnce(t *testing.T) {
	for _, failures := range []int64{0, 1, 5} {
		h := newOnce(t, 3)
		var doing, failed, returned atomic.Int64
		value := 0 // written by who does it: the race detector says if that is not ordered
		ctx := watched(t)
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				err := h[0].Do(ctx, func() error {
					assert.EqualValues(t, 1, doing.Add(1))
					runtime.Gosched()
					defer doing.Add(-1)
					value++
					if failed.Load() < failures {
						failed.Add(1)
						return errFailed
					}
					return nil
				})
				if err != nil {
					assert.Equal(t, errFailed, err)
					returned.Add(1)
				} else if value != int(failures)+1 {
					t.Errorf("%d: done %d times", i, value)
				}
			})
		}
		all.Wait()
		assert.Equal(t, failures, returned.Load(), "each who fails returns, and nobody else")
		assert.True(t, h[2].Done())
		require.NoError(t, h[1].Do(expired(), func() error { t.Error("again"); return nil }), "it is done")
	}
}

// One that fails, in whatever way, leaves it to the next, who waits on another handle, or comes later.
func TestOnceFails(t *testing.T) {
	for name, f := range map[string]func() error{
		"an error": func() error { return errFailed },
		"a panic":  func() error { panic("no") },
		"Goexit":   func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			h := newOnce(t, 2)
			begun, finish := make(chan struct{}), make(chan struct{})
			ended := make(chan any, 1)
			go func() {
				defer func() { ended <- recover() }()
				ended <- h[0].Do(watched(t), func() error { close(begun); <-finish; return f() })
			}()
			recv(t, begun, "it begins")
			next := do(watched(t), h[1], succeed)
			until(t, "the next sleeps", h[1].Asleep)
			ctx, cancel := context.WithCancel(t.Context())
			impatient := do(ctx, h[1], succeed)
			cancel()
			require.ErrorIs(t, recv(t, impatient, "it leaves"), context.Canceled)
			require.False(t, h[0].Done())
			close(finish)
			recv(t, ended, "the first ends")
			require.NoError(t, recv(t, next, "the next does it"))
			require.True(t, h[0].Done())
		})
	}
}

func TestOnceExpiredContext(t *testing.T) {
	h := newOnce(t, 1)
	require.ErrorIs(t, h[0].Do(expired(), succeed), context.DeadlineExceeded)
	require.False(t, h[0].Done())
	require.NoError(t, h[0].Do(watched(t), succeed))
}

// One who is dead does not do it, whoever has its pid by now.
func TestOnceOfTheDead(t *testing.T) {
	for name, id := range map[string]owner.ID{"dead": endedID(t), "pid reused": reusedID(t)} {
		h := newOnce(t, 1)
		h[0].Word().Store(uint64(id))
		require.NoError(t, h[0].Do(watched(t), succeed), name)
		require.True(t, h[0].Done())
	}
}

// A word that nobody can have written is an error, one that names this process is waited for.
func TestOnceCorrupted(t *testing.T) {
	h := newOnce(t, 1)
	for _, w := range []uint64{1 << 22, 1<<63 | 1<<22, 1 << 62} { // the pid is 0
		h[0].Word().Store(w)
		assert.ErrorIs(t, h[0].Do(watched(t), succeed), semaphore.ErrCorrupted, "%#x", w)
	}
	h[0].Word().Store(uint64(h[0].Self()))
	ctx, cancel := context.WithCancel(t.Context())
	waits := do(ctx, h[0], succeed)
	until(t, "it sleeps", h[0].Asleep)
	cancel()
	assert.ErrorIs(t, recv(t, waits, "it leaves"), context.Canceled)
	h[0].Word().Store(0)

	require.NoError(t, h[0].Do(watched(t), func() error { h[0].Word().Store(7); return nil }))
	assert.EqualValues(t, 7, h[0].Word().Load(), "what somebody else has written stays")
}

func TestOnceFreePath(t *testing.T) {
	o := newOnce(t, 1)[0]
	ctx := t.Context()
	require.NoError(t, o.Do(ctx, succeed))
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if err := o.Do(ctx, succeed); err != nil {
			t.Error(err)
		}
	}))
}

// Of those who wait on one handle the next is who came first.
func TestOnceInOrder(t *testing.T) {
	o := newOnce(t, 1)[0]
	begun, finish := make(chan struct{}), make(chan struct{})
	first := do(watched(t), o, func() error { close(begun); <-finish; return errFailed })
	recv(t, begun, "it begins")
	const goroutines = 6
	var order []int // guarded by the once
	var all []<-chan error
	for i := range goroutines {
		all = append(all, do(watched(t), o, func() error { order = append(order, i); return errFailed }))
		until(t, "it waits", func() bool { return o.Waiters() == i+1 })
	}
	close(finish)
	require.Equal(t, errFailed, recv(t, first, "the first fails"))
	for _, done := range all {
		require.Equal(t, errFailed, recv(t, done, "it fails"))
	}
	assert.Equal(t, []int{0, 1, 2, 3, 4, 5}, order)
}

// What was done is seen by all who return: the race detector says if not, of memory that it does not see too.
func TestOnceOrdersMemory(t *testing.T) {
	o, err := semaphore.NewOnce()
	require.NoError(t, err)
	value := 0
	var all sync.WaitGroup
	ctx := watched(t)
	for range 4 {
		all.Go(func() {
			if err := o.Do(ctx, func() error { value = 1; return nil }); err != nil || value != 1 {
				t.Errorf("%v, %d", err, value)
			}
			for range 10 {
				if err := o.Do(ctx, succeed); err != nil || value != 1 {
					t.Errorf("%v, %d", err, value)
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, o.Close())
}
