//go:build linux && amd64

package semaphore_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/singlestep"
	"github.com/shmkit/shmkit/semaphore"
)

// What each of these does to an event when it is killed.
type steppedEvent struct {
	set     bool // it is, before
	waits   bool // somebody of this process waits for it
	wakes   bool // this process sets it when the child sleeps
	operate func(e *semaphore.Event)
}

var steppedEvents = map[string]steppedEvent{
	"Set":                 {operate: (*semaphore.Event).Set},
	"Set again":           {set: true, operate: func(e *semaphore.Event) { e.Set(); e.Clear() }},
	"Set with a sleeper":  {waits: true, operate: (*semaphore.Event).Set},
	"Clear":               {set: true, operate: (*semaphore.Event).Clear},
	"Wait that sleeps":    {operate: waitFor},
	"Wait that is let go": {wakes: true, operate: waitFor},
}

func waitFor(e *semaphore.Event) { _ = e.Wait(context.Background()) }

// What each of these does to a condition.
type steppedCond struct {
	waits   bool // somebody of this process waits for it
	sleeps  bool // the child does
	wakes   bool // this process signals the child when it sleeps
	operate func(c *semaphore.Cond)
}

var steppedConds = map[string]steppedCond{
	"Signal of a sleeper":    {waits: true, operate: (*semaphore.Cond).Signal},
	"Broadcast to a sleeper": {waits: true, operate: (*semaphore.Cond).Broadcast},
	"Wait, asleep":           {sleeps: true, operate: lockAndWait},
	"Wait, signalled":        {sleeps: true, wakes: true, operate: lockAndWait},
}

// lockAndWait ends with the lock: whose Wait has returned is known by that.
func lockAndWait(c *semaphore.Cond) {
	_ = c.L.Lock(context.Background())
	_ = c.Wait(context.Background())
}

// What each of these does to an array of two elements, each with a 1 in all its places.
var steppedArrays = map[string]func(a *semaphore.Array[wide]){
	"Store": func(a *semaphore.Array[wide]) { _ = a.Store(context.Background(), 0, wideOf(2)) },
	"in the slice": func(a *semaphore.Array[wide]) {
		_ = a.Mutex().Lock(context.Background())
		for i := range a.Slice() {
			addOne(&a.Slice()[i])
		}
		a.Mutex().Unlock()
	},
}

func wideOf(n int64) (x wide) {
	for i := range x {
		x[i] = n
	}
	return x
}

// eventSteps are the operations of this file.
var eventSteps = func() map[string]singlestep.Operation {
	all := map[string]singlestep.Operation{}
	for name, u := range steppedEvents {
		all["Event: "+name] = func(f *os.File) func() {
			e, err := semaphore.AttachEvent(mapStepped(f))
			if err != nil {
				panic(err)
			}
			e.Unbounded()
			return func() { u.operate(e) }
		}
	}
	for name, u := range steppedConds {
		all["Cond: "+name] = func(f *os.File) func() {
			t, err := openTray(mapStepped(f), semaphore.AttachMutex, semaphore.AttachCond)
			if err != nil {
				panic(err)
			}
			t.Unbounded()
			t.Mind()
			return func() { u.operate(t.Cond) }
		}
	}
	for name, operate := range steppedArrays {
		all["Array: "+name] = func(f *os.File) func() {
			a, err := semaphore.AttachArray[wide](mapStepped(f))
			if err != nil {
				panic(err)
			}
			return func() { operate(a) }
		}
	}
	all["Value: Update"] = func(f *os.File) func() {
		v, err := semaphore.AttachValue[wide](mapStepped(f))
		if err != nil {
			panic(err)
		}
		return func() { _ = v.Update(context.Background(), addOne) }
	}
	return all
}()

func addOne(x *wide) {
	for i := range x {
		x[i]++
	}
}

// Killed at any instruction, who sets the event leaves it set or not, and who waits for it is let go if it is; who waits leaves
// nothing that keeps others.
func TestStepEvent(t *testing.T) {
	for name, u := range singlestep.Part(steppedEvents) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				seg := newSegment(t, layout.Line)
				e, err := semaphore.NewEventAt(seg.Bytes())
				require.NoError(t, err)
				defer func() { require.NoError(t, e.Close()) }()
				if u.set {
					e.Set()
				}
				if w.Whole() {
					e.Unbounded()
				}
				var passes <-chan error
				if u.waits {
					passes = start(func() error { return e.Wait(watched(t)) })
					until(t, "it sleeps", e.Asleep)
				}
				woken := false
				wake := func() bool {
					if !u.wakes || woken {
						return false
					}
					woken = true
					e.Set()
					return true
				}
				require.NoError(t, w.Run("Event: "+name, seg.File(), wake, seg.Bytes()))
				if u.waits {
					if !e.IsSet() {
						require.False(t, w.Returned, "it has not set it")
						e.Set()
					}
					require.NoError(t, recv(t, passes, "it passes"))
				}
				e.Clear()
				e.Unbounded()
				passes = start(func() error { return e.Wait(watched(t)) })
				until(t, "it sleeps", e.Asleep)
				e.Set()
				require.NoError(t, recv(t, passes, "it passes"))
			})
		})
	}
}

// start has f called and returns where its result will be.
func start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// waiter has a goroutine of this process wait once on the tray, and returns when it does.
func (t tray) waiter(tt *testing.T) <-chan error {
	done := start(func() error {
		if err := t.held(t.L.Lock(watched(tt))); err != nil {
			return err
		}
		defer t.L.Unlock()
		return t.held(t.Wait(watched(tt)))
	})
	until(tt, "it waits, or was woken by what the dead have left", func() bool { n, _ := t.Counted(0); return n == 1 && t.Asleep() || len(done) > 0 })
	return done
}

// Killed at any instruction, who signals has signalled or not; and who waits takes nobody's signal along: one that it was given and that did
// not bring it to its lock goes to another.
func TestStepCond(t *testing.T) {
	for name, u := range singlestep.Part(steppedConds) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				tr, seg := newTray(t)
				if w.Whole() && !u.sleeps {
					tr.Unbounded()
				}
				waits := tr.waiter(t)
				signalled := false
				wake := func() bool {
					if !u.wakes || signalled {
						return false
					}
					signalled = tr.SignalSeat(1)
					return signalled
				}
				mem := seg.Bytes()
				places := trayTokens - 16*semaphore.Seats
				require.NoError(t, w.Run("Cond: "+name, seg.File(), wake, mem[:semaphore.MutexSize+4*layout.Line], mem[places:places+32]))
				u.account(t, tr, w, waits, signalled)

				// Whatever it has left, who waits is woken.
				first := tr.waiter(t)
				tr.Signal()
				require.NoError(t, recv(t, first, "it is woken"))
			})
		})
	}
}

// account has the goroutine that waits come through: by what the child did, by its death, or by this process.
func (u steppedCond) account(t *testing.T, tr tray, w *singlestep.Walk, waits <-chan error, signalled bool) {
	err := tr.L.Lock(watched(t))
	died := errors.Is(err, semaphore.ErrOwnerDied)
	require.True(t, err == nil || died)
	tr.L.Unlock()
	switch {
	case !u.sleeps:
		if n, _ := tr.Counted(0); n == 1 && len(waits) == 0 {
			require.False(t, w.Returned, "it has signalled nobody")
			tr.Signal()
		}
	case died:
		tr.Broadcast()
	case !signalled:
		tr.Signal()
	}
	require.NoError(t, recv(t, waits, "it is woken"))
}

// Killed at any instruction of an Update, a process leaves the value as it was or as it was to be, and the lock to the next.
func TestStepValue(t *testing.T) {
	singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
		seg := newSegment(t, countsAt)
		v, err := semaphore.NewValueAt(seg.Bytes(), wide{})
		require.NoError(t, err)
		defer func() { require.NoError(t, v.Close()) }()
		require.NoError(t, w.Run("Value: Update", seg.File(), nil, seg.Bytes()))
		ctx, cancel := context.WithTimeout(context.Background(), long)
		defer cancel()
		x, err := v.Load(ctx)
		require.NoError(t, told(err))
		require.NoError(t, x.whole())
		require.Contains(t, []int64{0, 1}, x[0])
		require.True(t, !w.Returned || x[0] == 1)
		require.NoError(t, v.Update(ctx, addOne))
		require.Equal(t, x[0]+1, v.Get()[0])
	})
}

// Killed at any instruction of what it does with the lock of an array, a process leaves to the next who takes it what it has written, and word of its
// death, unless all is written or nothing.
func TestStepArray(t *testing.T) {
	for name := range singlestep.Part(steppedArrays) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				seg := newSegment(t, semaphore.ArraySize[wide](2))
				a, err := semaphore.NewArrayAt[wide](seg.Bytes(), 2)
				require.NoError(t, err)
				defer func() { require.NoError(t, a.Close()) }()
				a.Slice()[0], a.Slice()[1] = wideOf(1), wideOf(1)
				require.NoError(t, w.Run("Array: "+name, seg.File(), nil, seg.Bytes()))
				ctx, cancel := context.WithTimeout(context.Background(), long)
				defer cancel()
				first, err := a.Load(ctx, 0)
				require.NoError(t, told(err))
				second, again := a.Load(ctx, 1)
				require.NoError(t, again, "one is told")
				if err == nil {
					require.NoError(t, errors.Join(first.whole(), second.whole()))
					require.True(t, name == "Store" || first == second, "half of it is done")
					require.True(t, !w.Returned || first == wideOf(2))
				} else {
					require.False(t, w.Returned)
				}
				require.NoError(t, a.Store(ctx, 0, wideOf(3)))
				require.Equal(t, wideOf(3), a.Slice()[0])
			})
		})
	}
}
