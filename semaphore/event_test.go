package semaphore

import (
	"context"
	"errors"
	"math"
	"os"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

// waitPatience bounds what a test waits for; only a failing one comes near it.
const waitPatience = 60 * time.Second

// newEvents makes an event over bytes of the heap, where the race detector sees its atomics, and as many handles as asked for: each
// stands for a process. Who waits sleeps until it is woken: a lost wake-up hangs the test.
func newEvents(t testing.TB, handles int) []*Event {
	all := Handles(t, make([]byte, EventSize), handles, NewEventAt, AttachEvent)
	for _, e := range all {
		e.queue.step = -1
	}
	return all
}

// beginWait starts a wait and returns where its result will be.
func beginWait(ctx context.Context, wait func(ctx context.Context) error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- wait(ctx) }()
	return done
}

// endWait waits for that of a wait.
func endWait(t testing.TB, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(waitPatience):
		require.FailNow(t, "it waits on")
		return nil
	}
}

// requireQueued waits until so many goroutines wait in q.
func requireQueued(t testing.TB, q *Waitqueue, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return q.waiters.Load() == int64(n) }, waitPatience, time.Millisecond, "%d wait", n)
}

func TestEventIsSetUntilCleared(t *testing.T) {
	h := newEvents(t, 2)
	a, b := h[0], h[1]
	assert.False(t, b.IsSet())
	b.Clear()
	assert.False(t, b.IsSet())
	a.Set()
	a.Set()
	assert.True(t, b.IsSet())
	for range 3 {
		require.NoError(t, b.Wait(t.Context()), "it lets all pass")
	}
	b.Clear()
	assert.False(t, a.IsSet())
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, a.Wait(ctx), context.DeadlineExceeded)
}

// A Set lets all go who wait, on each handle, also when the event is cleared at once.
func TestEventSetWakesAll(t *testing.T) {
	const waiters = 50
	for _, clear := range []bool{false, true} {
		h := newEvents(t, 3)
		var done []<-chan error
		for _, e := range h {
			for range waiters {
				done = append(done, beginWait(t.Context(), e.Wait))
			}
			requireQueued(t, &e.queue, waiters)
		}
		h[1].Set()
		if clear {
			h[1].Clear()
		}
		for _, d := range done {
			require.NoError(t, endWait(t, d))
		}
		assert.Equal(t, !clear, h[0].IsSet())
	}
}

// Who comes after the Clear waits for the next Set: the one before is none of its business.
func TestEventWaitsForTheNextSet(t *testing.T) {
	h := newEvents(t, 2)
	for range 200 {
		h[0].Set()
		h[0].Clear()
		done := beginWait(t.Context(), h[1].Wait)
		requireQueued(t, &h[1].queue, 1)
		assert.Empty(t, done)
		h[0].Set()
		require.NoError(t, endWait(t, done))
		h[1].Clear()
	}
}

// One who has seen the event before a Set and a Clear, and comes to the queue after them, is let go, also behind one who has come since and
// waits for the next Set.
func TestEventLetsGoBehindALaterOne(t *testing.T) {
	e := newEvents(t, 1)[0]
	was := e.body.state.Load() // in Wait, which is then overtaken
	e.Set()
	e.Clear()
	later := beginWait(t.Context(), e.Wait)
	requireQueued(t, &e.queue, 1)
	earlier := beginWait(t.Context(), func(ctx context.Context) error { return e.wait(ctx, was) })
	require.NoError(t, endWait(t, earlier))
	requireQueued(t, &e.queue, 1)
	assert.Empty(t, later)
	e.Set()
	require.NoError(t, endWait(t, later))
}

func TestEventContexts(t *testing.T) {
	e := newEvents(t, 1)[0]
	e.Set()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, e.Wait(ctx), context.Canceled, "although it is set")
	e.Clear()
	for _, timeout := range []time.Duration{0, -1, math.MinInt64} {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		assert.ErrorIs(t, e.Wait(ctx), context.DeadlineExceeded)
		cancel()
	}
	ctx, cancel = context.WithCancel(t.Context())
	done := beginWait(ctx, e.Wait)
	other := beginWait(t.Context(), e.Wait)
	requireQueued(t, &e.queue, 2)
	cancel()
	assert.ErrorIs(t, endWait(t, done), context.Canceled)
	e.Set()
	assert.NoError(t, endWait(t, other), "one who leaves takes nobody along")
}

// Whoever sets the event after it has put something somewhere, and whoever clears it before it looks there, never both miss it.
func TestEventOrdersMemory(t *testing.T) {
	for name, e := range map[string]*Event{"in the heap": newEvents(t, 1)[0], "in a mapping": mappedEvent(t)} {
		t.Run(name, func(t *testing.T) {
			const items = 2000
			var put atomic.Int64
			plain := 0
			done := make(chan error, 1)
			go func() {
				for seen := int64(0); seen < items; {
					if err := e.Wait(context.Background()); err != nil {
						done <- err
						return
					}
					e.Clear()
					seen = put.Load()
				}
				plain++ // ordered by the last Set
				done <- nil
			}()
			for i := range items {
				if i == items-1 {
					plain++
				}
				put.Add(1)
				e.Set()
			}
			require.NoError(t, endWait(t, done))
			assert.Equal(t, 2, plain)
		})
	}
}

func mappedEvent(t testing.TB) *Event {
	e, err := NewEvent()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// Every wake-up steps the sequence, so a word that did not move saw no system call.
func TestEventWithoutWaitersMakesNoSystemCall(t *testing.T) {
	e := newEvents(t, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		e.Set()
		if err := e.Wait(ctx); err != nil || !e.IsSet() {
			t.Error(err)
		}
		e.Clear()
	}))
	assert.Zero(t, e.body.bell.Load())
}

// Whatever the words say, and whenever they change, a call ends: with the event set or not. The counts wrap.
func TestEventHostileWords(t *testing.T) {
	e := newEvents(t, 1)[0]
	for _, state := range []uint64{1, 2, 3, math.MaxUint64, math.MaxUint64 - 1, 1 << 63, 1<<63 + 1} {
		for _, bell := range []uint32{0, 1, math.MaxUint32, math.MaxUint32 - 1} {
			e.body.state.Store(state)
			e.body.bell.Store(bell)
			assert.Equal(t, state&1 == 1, e.IsSet())
			e.Clear()
			assert.False(t, e.IsSet())
			done := beginWait(t.Context(), e.Wait)
			requireQueued(t, &e.queue, 1)
			e.Set()
			e.Clear()
			require.NoError(t, endWait(t, done))
			assert.False(t, e.IsSet())
		}
	}
	// Somebody writes while others sleep: they notice within their step, or with the next Set.
	done := beginWait(t.Context(), e.Wait)
	requireQueued(t, &e.queue, 1)
	e.body.state.Store(math.MaxUint64)
	e.body.bell.Store(1)
	e.Set()
	require.NoError(t, endWait(t, done))
}

func TestEventRefusesBadMemory(t *testing.T) {
	_, err := NewEventAt(make([]byte, EventSize-1))
	assert.EqualError(t, err, "make event: memory of 127 bytes, an event takes 128")
	_, err = NewEventAt(nil)
	assert.ErrorContains(t, err, "memory of 0 bytes")
	_, err = NewEventAt(make([]byte, EventSize+8)[1:])
	assert.ErrorContains(t, err, "aligned")
	mem := make([]byte, 2*EventSize)
	_, err = AttachEvent(mem)
	assert.ErrorIs(t, err, layout.ErrNotShmkit)
	_, err = AttachEvent(mem[:8])
	assert.ErrorContains(t, err, "memory of 8 bytes")
	_, err = NewAt(mem, 1)
	require.NoError(t, err)
	_, err = AttachEvent(mem)
	assert.ErrorIs(t, err, layout.ErrKind)
	_, err = NewEventAt(mem)
	require.NoError(t, err)
	assert.Equal(t, make([]byte, EventSize), mem[EventSize:], "more memory than needed is left alone")
}

// The layout is an interface between processes: a change needs a new layout.Version.
func TestEventLayout(t *testing.T) {
	typ := reflect.TypeFor[eventBody]()
	require.NoError(t, layout.Viewable(typ))
	for name, off := range map[string]uintptr{"header": 0, "state": 64, "bell": 72} {
		f, ok := typ.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
}

func TestEventIsShared(t *testing.T) {
	e := mappedEvent(t)
	f, data, ended, err := e.Share()
	require.NoError(t, err)
	assert.Nil(t, ended)
	other := new(Event)
	require.NoError(t, other.Adopt(f, data))
	done := beginWait(t.Context(), e.Wait)
	requireQueued(t, &e.queue, 1)
	other.Set()
	require.NoError(t, endWait(t, done))
	require.NoError(t, other.Close())

	_, _, _, err = newEvents(t, 1)[0].Share()
	assert.ErrorIs(t, err, os.ErrInvalid)
	p, err := shm.NewPiece("not an event", EventSize)
	require.NoError(t, err)
	f, data, err = p.Share()
	require.NoError(t, err)
	assert.ErrorIs(t, new(Event).Adopt(f, data), layout.ErrNotShmkit)
	assert.Error(t, new(Event).Adopt(f, nil))
	require.NoError(t, p.Close())
}

// The memory goes away as soon as the last waiter has left and Close has returned.
func TestEventCloseWaits(t *testing.T) {
	for range 100 {
		e, err := NewEvent()
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := beginWait(ctx, e.Wait)
		go cancel()
		if err := endWait(t, done); !errors.Is(err, context.Canceled) {
			require.NoError(t, err)
		}
		require.NoError(t, e.Close())
	}
}

// FuzzEvent: whatever lies in memory, it is refused or every operation ends, and nothing behind the event is written.
func FuzzEvent(f *testing.F) {
	mem := make([]byte, EventSize)
	_, err := NewEventAt(mem)
	require.NoError(f, err)
	f.Add(mem, []byte{0, 1, 2, 3, 0, 3, 136, 3, 2, 137, 3, 0, 3})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		mem := layout.SliceBytes(make([]uint64, EventSize/8+1))
		copy(mem[:EventSize], src)
		e, err := AttachEvent(mem[:EventSize])
		if err != nil {
			return
		}
		words := layout.MustSlice[uint64](mem, 0, EventSize/8)
		for i, b := range script[:min(len(script), 64)] {
			if b >= 128 { // somebody writes where it must not
				words[int(b)%len(words)] = uint64(i) * 0x1_0000_0001 << (b % 33)
				continue
			}
			switch b & 3 {
			case 0:
				e.Set()
				require.True(t, e.IsSet())
			case 1:
				e.Clear()
				require.False(t, e.IsSet())
			case 2:
				require.Equal(t, words[8]&1 != 0, e.IsSet())
			case 3:
				ctx, cancel := context.WithCancel(t.Context())
				done := beginWait(ctx, e.Wait)
				cancel()
				if err := <-done; err != nil {
					require.ErrorIs(t, err, context.Canceled)
				}
			}
		}
		require.NoError(t, e.Close())
		require.Equal(t, []uint64{0}, layout.MustSlice[uint64](mem, EventSize, 1), "behind it")
	})
}
