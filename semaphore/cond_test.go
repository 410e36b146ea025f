package semaphore

import (
	"context"
	"errors"
	"math"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// newConds makes a mutex and a condition variable over bytes of the heap, and as many handles on both as asked for: each stands for a
// process. Who waits sleeps until it is woken.
func newConds(t testing.TB, handles int) []*Cond {
	lock, mem := make([]byte, MutexSize), layout.SliceBytes(make([]uint64, CondSize/8))
	all := make([]*Cond, handles)
	for i := range all {
		makeMutex, makeCond := AttachMutex, AttachCond
		if i == 0 {
			makeMutex, makeCond = NewMutexAt, NewCondAt
		}
		m, err := makeMutex(lock)
		require.NoError(t, err)
		all[i], err = makeCond(mem, m)
		require.NoError(t, err)
		all[i].queue.step = -1
		t.Cleanup(func() {
			require.NoError(t, all[i].Close())
			require.NoError(t, m.Close())
		})
	}
	return all
}

// beginCond has a goroutine wait for a signal, and returns when it is counted: another one's lock has come after its Wait.
func beginCond(t testing.TB, ctx context.Context, c *Cond) <-chan error {
	holds := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		err := c.L.Lock(context.Background())
		close(holds)
		if err == nil {
			err = c.Wait(ctx)
			c.L.Unlock()
		}
		done <- err
	}()
	<-holds
	require.NoError(t, c.L.Lock(t.Context()))
	c.L.Unlock()
	return done
}

// woken counts those of done that have returned nil within a short while, and takes them out.
func woken(t testing.TB, done map[int]<-chan error, want int) (who []int) {
	t.Helper()
	require.Eventually(t, func() bool {
		for i, d := range done {
			select {
			case err := <-d:
				require.NoError(t, err)
				who = append(who, i)
				delete(done, i)
			default:
			}
		}
		return len(who) >= want
	}, waitPatience, time.Millisecond)
	require.Len(t, who, want)
	return who
}

// tallies returns how many wait and how many are signalled on all handles.
func tallies(c *Cond) (waiting, signalled int) {
	for i := range c.body.places {
		t := c.body.places[i].load()
		waiting += int(t.waiting())
		signalled += int(t.signalled())
	}
	return waiting, signalled
}

// Notify wakes exactly as many as it says, of those who wait, whether it is called with the lock or without.
func TestCondNotifyCounts(t *testing.T) {
	for _, locked := range []bool{true, false} {
		h := newConds(t, 3)
		done := map[int]<-chan error{}
		for i := range 30 {
			done[i] = beginCond(t, t.Context(), h[i%3])
		}
		left := 30
		for _, n := range []int{0, 1, 2, 3, 7, 1, 5} {
			if locked {
				require.NoError(t, h[n%3].L.Lock(t.Context()))
			}
			h[n%3].Notify(n)
			waiting, _ := tallies(h[0])
			left -= n
			assert.Equal(t, left, waiting, "after Notify(%d)", n)
			if locked {
				h[n%3].L.Unlock()
			}
			woken(t, done, n)
		}
		waiting, signalled := tallies(h[0])
		assert.Equal(t, [2]int{11, 0}, [2]int{waiting, signalled})
		h[0].Notify(math.MaxInt)
		woken(t, done, 11)
		h[0].Notify(3) // is for nobody
		late := beginCond(t, t.Context(), h[1])
		waiting, signalled = tallies(h[0])
		assert.Equal(t, [2]int{1, 0}, [2]int{waiting, signalled})
		h[0].Signal()
		require.NoError(t, endWait(t, late))
	}
	assert.PanicsWithValue(t, "semaphore: Notify of -1 waiters: negative", func() { newConds(t, 1)[0].Notify(-1) })
}

// Broadcast wakes all who wait, and nobody who comes later.
func TestCondBroadcast(t *testing.T) {
	h := newConds(t, 3)
	for range 20 {
		done := map[int]<-chan error{}
		for i := range 12 {
			done[i] = beginCond(t, t.Context(), h[i%3])
		}
		require.NoError(t, h[0].L.Lock(t.Context()))
		h[0].Broadcast()
		h[0].L.Unlock()
		late := beginCond(t, t.Context(), h[1])
		woken(t, done, 12)
		waiting, signalled := tallies(h[0])
		require.Equal(t, [2]int{1, 0}, [2]int{waiting, signalled})
		require.Empty(t, late)
		h[2].Broadcast()
		require.NoError(t, endWait(t, late))
	}
}

// Goroutines of a handle are signalled in order, and of K handles each has one of K signals.
func TestCondFairness(t *testing.T) {
	const handles, each = 4, 25
	h := newConds(t, handles)
	done := map[int]<-chan error{}
	for i := range handles * each { // those of the first handle come first, and so on
		done[i] = beginCond(t, t.Context(), h[i/each])
	}
	for round := range each {
		var who []int
		for range handles {
			h[0].Signal()
			who = append(who, woken(t, done, 1)...)
		}
		for k := range handles {
			assert.Contains(t, who, k*each+round, "the next of handle %d", k)
		}
	}
}

// One who comes again and again does not keep the signals from one who waits.
func TestCondDoesNotStarve(t *testing.T) {
	h := newConds(t, 3)
	patient := beginCond(t, t.Context(), h[0])
	done := map[int]<-chan error{1: beginCond(t, t.Context(), h[1]), 2: beginCond(t, t.Context(), h[2])}
	for signals := 1; ; signals++ {
		require.LessOrEqual(t, signals, 3)
		waiting, _ := tallies(h[0])
		require.Equal(t, 3, waiting)
		h[1].Signal()
		if place := h[0].place().load(); place.waiting() == 0 {
			require.NoError(t, endWait(t, patient))
			break
		}
		who := woken(t, done, 1)[0]
		done[who] = beginCond(t, t.Context(), h[who])
	}
	h[0].Broadcast()
	woken(t, done, 2)
}

// Those whose contexts end while signals come leave the signals to others: as many come through as are signalled, or all are gone.
func TestCondCancelledSwallowNothing(t *testing.T) {
	h := newConds(t, 2)
	for round := range 200 {
		const n = 6
		ctx, cancel := context.WithCancel(t.Context())
		var done [n]<-chan error
		for i := range done {
			c := ctx
			if i%2 == 0 {
				c = t.Context()
			}
			done[i] = beginCond(t, c, h[i/2%2])
		}
		go cancel()
		h[round%2].Notify(n / 2)
		signalled := 0
		for i := 1; i < n; i += 2 {
			if err := endWait(t, done[i]); err == nil {
				signalled++
			} else {
				require.ErrorIs(t, err, context.Canceled)
			}
		}
		// All signals that were not for those have gone to those who stay.
		require.Eventually(t, func() bool { waiting, s := tallies(h[0]); return waiting == signalled && s == 0 }, waitPatience, time.Millisecond)
		h[0].Broadcast()
		for i := 0; i < n; i += 2 {
			require.NoError(t, endWait(t, done[i]))
		}
	}
}

func TestCondContexts(t *testing.T) {
	c := newConds(t, 1)[0]
	require.NoError(t, c.L.Lock(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, c.Wait(ctx), context.Canceled)
	assert.ErrorIs(t, c.WaitFor(ctx, func() bool { return false }), context.Canceled)
	assert.NoError(t, c.WaitFor(ctx, func() bool { return true }))
	for _, timeout := range []time.Duration{0, -1, math.MinInt64, time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		assert.ErrorIs(t, c.Wait(ctx), context.DeadlineExceeded)
		cancel()
	}
	c.L.Unlock() // is held after each
	waiting, signalled := tallies(c)
	assert.Equal(t, [2]int{0, 0}, [2]int{waiting, signalled})
}

func TestCondMisusePanics(t *testing.T) {
	c := newConds(t, 1)[0]
	const unheld = "semaphore: Wait on a Cond whose Mutex this process does not hold"
	assert.PanicsWithValue(t, unheld, func() { _ = c.Wait(t.Context()) })
	assert.PanicsWithValue(t, unheld, func() { _ = c.WaitFor(t.Context(), func() bool { return true }) })
	waiting, _ := tallies(c)
	assert.Zero(t, waiting)
	m := c.L
	c.L = nil
	assert.PanicsWithValue(t, "semaphore: Wait on a Cond without a Mutex: set its field L", func() { _ = c.Wait(t.Context()) })
	c.L = m
}

// A bounded buffer, by WaitFor alone: nothing is lost, nobody hangs though all sleep until they are told.
func TestCondBuffer(t *testing.T) {
	const items, room = 3000, 3
	h := newConds(t, 4)
	buffer, taken := 0, 0
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for i, c := range h {
		all.Go(func() {
			for range items {
				if err := errors.Join(c.L.Lock(context.Background()), c.WaitFor(context.Background(), func() bool {
					if i%2 == 0 {
						return buffer < room
					}
					return buffer > 0
				})); err != nil {
					failed.Store(&err)
					return
				}
				if i%2 == 0 {
					buffer++
				} else {
					buffer--
					taken++
				}
				c.Broadcast()
				c.L.Unlock()
			}
		})
	}
	done := make(chan error, 1)
	go func() { all.Wait(); done <- nil }()
	require.NoError(t, endWait(t, done))
	require.Nil(t, failed.Load())
	assert.Equal(t, 2*items, taken)
	assert.Zero(t, buffer)
}

// A signal orders what comes before it and what comes after the Wait, also of who does not hold the lock.
func TestCondOrdersMemory(t *testing.T) {
	c := newConds(t, 1)[0]
	plain := 0
	for range 200 {
		done := beginCond(t, t.Context(), c)
		plain++
		c.Signal()
		require.NoError(t, endWait(t, done))
		plain++
	}
	assert.Equal(t, 400, plain)
}

func TestCondWithoutWaitersMakesNoSystemCall(t *testing.T) {
	c := newConds(t, 3)[1]
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		c.Signal()
		c.Broadcast()
	}))
	for i := range c.body.places {
		assert.Zero(t, c.body.places[i].bell.Load())
	}
}

// A Wait whose Unlock panics, as somebody has written into the lock what he must not, is in no queue, and is not counted any more.
func TestCondUnlockPanics(t *testing.T) {
	m, err := NewMutexAt(make([]byte, MutexSize))
	require.NoError(t, err)
	c, err := NewCondAt(layout.SliceBytes(make([]uint64, CondSize/8)), m)
	require.NoError(t, err)
	c.Unbounded()
	for _, others := range []int{0, 1} {
		var done []<-chan error
		for range others {
			done = append(done, beginCond(t, t.Context(), c))
		}
		require.NoError(t, c.begin())
		assert.Panics(t, func() { _ = c.wait(t.Context()) }, "nobody holds it")
		waiting, signalled := tallies(c)
		assert.Equal(t, [2]int{others, 0}, [2]int{waiting, signalled})
		requireQueued(t, &c.queue, others)
		c.Broadcast()
		for _, d := range done {
			require.NoError(t, endWait(t, d))
		}
	}
	require.NoError(t, endWait(t, beginWait(t.Context(), func(context.Context) error { return c.Close() })))
	require.NoError(t, m.Close())
}

// What the dead had of signals goes to others who wait; who of them waited is not counted any more. One who buries may come late, when
// the place is another's, with what it saw before.
func TestCondBury(t *testing.T) {
	h := newConds(t, 2)
	dead := deadID(t)
	c := h[0]
	done := beginCond(t, t.Context(), c)
	c.body.top.Store(3)
	p, seat := &c.body.places[2], &c.body.roll.seats[2]
	seat.owner.Store(uint64(dead))
	for _, tt := range []struct{ waiting, signalled uint64 }{{5, 0}, {0, 0}} {
		p.tally.Store(uint64(tally(0).with(tt.waiting, tt.signalled)))
		c.bury(2, dead)
		assert.Zero(t, p.load().waiting()+p.load().signalled())
		assert.EqualValues(t, 1, c.place().load().waiting(), "nobody was signalled")
	}
	p.tally.Store(uint64(tally(0).with(2, 3)))
	was := p.load()
	c.bury(2, dead)
	assert.Zero(t, p.load().waiting()+p.load().signalled())
	require.NoError(t, endWait(t, done))

	seat.owner.Store(uint64(c.seat.id)) // a successor, of whom as many wait
	for p.load().waiting() < 2 {
		p.swap(p.load(), p.load().with(p.load().waiting()+1, 0))
	}
	assert.False(t, p.swap(was, was.with(0, 0)), "what a late one saw does not come again")
	c.bury(2, dead)
	assert.EqualValues(t, 2, p.load().waiting())
	p.tally.Store(0)
}

// Signals for a process that is dead, of which nobody knew, come to who waits when it looks.
func TestCondSignalOfTheDead(t *testing.T) {
	h := newConds(t, 2)
	h[0].queue.step = Step
	dead := deadID(t)
	done := beginCond(t, t.Context(), h[0])
	h[0].body.top.Store(3)
	h[0].body.places[2].tally.Store(uint64(tally(0).with(1, 0)))
	h[0].body.turn.Store(2)
	h[0].body.roll.seats[2].owner.Store(uint64(dead))
	h[1].Signal()
	assert.EqualValues(t, 1, h[0].body.places[2].load().signalled())
	h[0].body.roll.joined.Add(1)
	require.NoError(t, endWait(t, done))
}

// Any word: an error, a panic, or an end, and no hang.
func TestCondHostileWords(t *testing.T) {
	for _, word := range []uint64{0, 1, maxTally, maxTally << tallyBits, math.MaxUint64, 1<<63 | 3<<tallyBits, uint64(tally(0).with(3, maxTally))} {
		h := newConds(t, 2)
		c := h[0]
		c.queue.step = Step
		done := beginCond(t, t.Context(), c)
		for _, wild := range []uint32{math.MaxUint32, 1 << 31, 0, 255, 256} {
			c.body.turn.Store(wild)
			c.body.top.Store(wild)
			c.place().tally.Store(word)
			c.body.places[1].tally.Store(word)
			c.body.places[1].bell.Store(wild)
			h[1].Signal()
			h[1].Broadcast()
			require.NoError(t, h[1].L.Lock(t.Context()))
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if err := h[1].Wait(ctx); err != nil && !errors.Is(err, ErrCorrupted) && !errors.Is(err, context.DeadlineExceeded) {
				assert.ErrorContains(t, err, "already")
			}
			cancel()
			h[1].L.Unlock()
		}
		c.place().tally.Store(0)
		c.bell(0).Rouse()
		if err := endWait(t, done); err != nil {
			require.ErrorIs(t, err, ErrCorrupted)
		}
	}
}

func TestCondRefusesBadMemory(t *testing.T) {
	m, err := NewMutexAt(make([]byte, MutexSize))
	require.NoError(t, err)
	_, err = NewCondAt(make([]byte, 100), m)
	assert.EqualError(t, err, "make condition variable: memory of 100 bytes, a condition variable takes 37120")
	mem := layout.SliceBytes(make([]uint64, CondSize/8+1))
	_, err = NewCondAt(mem[1:], m)
	assert.ErrorContains(t, err, "aligned")
	_, err = AttachCond(mem, m)
	assert.ErrorIs(t, err, layout.ErrNotShmkit)
	_, err = NewEventAt(mem)
	require.NoError(t, err)
	_, err = AttachCond(mem, m)
	assert.ErrorIs(t, err, layout.ErrKind)
	c, err := NewCondAt(mem, m)
	require.NoError(t, err)
	var more []*Cond
	for range Seats - 1 {
		next, err := AttachCond(mem, m)
		require.NoError(t, err)
		more = append(more, next)
	}
	_, err = AttachCond(mem, m)
	assert.ErrorIs(t, err, ErrNoSeat)
	for _, next := range more {
		require.NoError(t, next.Close())
	}
	require.NoError(t, c.Close())
}

// The layout is an interface between processes: a change needs a new layout.Version.
func TestCondLayout(t *testing.T) {
	typ := reflect.TypeFor[condBody]()
	require.NoError(t, layout.Viewable(typ))
	for name, off := range map[string]uintptr{"header": 0, "top": 64, "turn": 68, "roll": 128, "places": 33_024} {
		f, ok := typ.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
	typ = reflect.TypeFor[place]()
	for name, off := range map[string]uintptr{"tally": 0, "bell": 8} {
		f, ok := typ.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
}

func TestCondIsShared(t *testing.T) {
	m, err := NewMutex()
	require.NoError(t, err)
	c, err := NewCond(m)
	require.NoError(t, err)
	f, data, ended, err := c.Share()
	require.NoError(t, err)
	assert.Nil(t, ended)
	other := new(Cond)
	require.NoError(t, other.Adopt(f, data))
	assert.Nil(t, other.L)
	other.L = m
	done := beginCond(t, t.Context(), c)
	other.Signal()
	require.NoError(t, endWait(t, done))
	require.NoError(t, other.Close())
	require.NoError(t, c.Close())
	require.NoError(t, m.Close())
	_, _, _, err = newConds(t, 1)[0].Share()
	assert.ErrorIs(t, err, os.ErrInvalid)
	assert.Error(t, new(Cond).Adopt(f, nil))
}
