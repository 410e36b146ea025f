//go:build linux && amd64

package semaphore_test

import (
	"context"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/singlestep"
	"github.com/shmkit/shmkit/semaphore"
)

// What each of these operations may do to a semaphore with two permits when it is killed.
type stepped struct {
	permits int64 // that this process has when it begins
	waits   int64 // how many permits somebody of this process waits for, 0: nobody does
	wakes   bool  // the child sleeps, and this process wakes it once
	turn    bool  // of whoever has claimed it, when it is woken
	change  int64 // of the free permits at the end
	operate func(s *semaphore.Semaphore)
}

var steppedUses = map[string]stepped{
	"Acquire":                  {change: -1, operate: func(s *semaphore.Semaphore) { s.Acquire(context.Background(), 1) }},
	"Acquire of both":          {change: -2, operate: func(s *semaphore.Semaphore) { s.Acquire(context.Background(), 2) }},
	"TryAcquire":               {change: -1, operate: func(s *semaphore.Semaphore) { s.TryAcquire(1) }},
	"Acquire that sleeps":      {permits: 2, operate: func(s *semaphore.Semaphore) { s.AcquireHere(1) }},
	"Acquire of both, asleep":  {permits: 1, operate: func(s *semaphore.Semaphore) { s.AcquireHere(2) }},
	"Acquire that is woken":    {permits: 2, wakes: true, change: -1, operate: func(s *semaphore.Semaphore) { s.AcquireHere(1) }},
	"Acquire in its turn":      {permits: 2, wakes: true, turn: true, change: -1, operate: func(s *semaphore.Semaphore) { s.AcquireHere(1) }},
	"Release in a turn":        {permits: 2, waits: 2, turn: true, change: 2, operate: func(s *semaphore.Semaphore) { s.Release(2) }},
	"Release":                  {permits: 2, change: 1, operate: func(s *semaphore.Semaphore) { s.Release(1) }},
	"Release with a sleeper":   {permits: 2, waits: 1, change: 1, operate: func(s *semaphore.Semaphore) { s.Release(1) }},
	"Release with one for two": {permits: 2, waits: 2, change: 2, operate: func(s *semaphore.Semaphore) { s.Release(2) }},
}

// A counting is an operation on an eventcount, for whose condition so many others sleep.
type counting struct {
	sleepers int
	sleeps   bool // it is the child that sleeps
	operate  func(e semaphore.Eventcount, condition *atomic.Uint32)
}

func stepNotify(n int) func(e semaphore.Eventcount, condition *atomic.Uint32) {
	return func(e semaphore.Eventcount, condition *atomic.Uint32) {
		condition.Store(1)
		e.Notify(n)
	}
}

func stepNotifyAll(e semaphore.Eventcount, condition *atomic.Uint32) {
	condition.Store(1)
	e.NotifyAll()
}

func stepSleep(e semaphore.Eventcount, condition *atomic.Uint32) {
	for condition.Load() == 0 {
		ticket := e.Announce()
		if condition.Load() != 0 {
			return
		}
		e.Sleep(ticket, -1)
	}
}

var countings = map[string]counting{
	"Announce and Sleep":        {sleeps: true, operate: stepSleep},
	"Notify":                    {operate: stepNotify(1)},
	"Notify of a sleeper":       {sleepers: 1, operate: stepNotify(1)},
	"Notify of more than sleep": {sleepers: 1, operate: stepNotify(3)},
	"NotifyAll":                 {operate: stepNotifyAll},
	"NotifyAll of sleepers":     {sleepers: 3, operate: stepNotifyAll},
}

func init() {
	operations := make(map[string]singlestep.Operation)
	for name, u := range steppedUses {
		operations[name] = func(f *os.File) func() {
			s, err := semaphore.Attach(mapStepped(f))
			if err != nil {
				panic(err)
			}
			if u.permits > 0 && u.change <= 0 {
				s.Unbounded()
			}
			return func() { u.operate(s) }
		}
	}
	for name, c := range countings {
		operations[name] = func(f *os.File) func() {
			e, condition := steppedCount(mapStepped(f))
			return func() { c.operate(e, condition) }
		}
	}
	maps.Copy(operations, lockOperations)
	maps.Copy(operations, kinSteps)
	maps.Copy(operations, eventSteps)
	singlestep.Child(operations)
}

func mapStepped(f *os.File) mmap.MMap {
	mem, err := mmap.Map(f, mmap.RDWR, 0)
	if err != nil {
		panic(err)
	}
	return mem
}

// steppedCount returns the eventcount behind the semaphore, and the condition that goes with it.
func steppedCount(mem []byte) (semaphore.Eventcount, *atomic.Uint32) {
	return semaphore.EventcountOn(layout.MustAt[atomic.Uint32](mem, heldAt)), layout.MustAt[atomic.Uint32](mem, usesAt)
}

// soon is how long it takes at most for somebody who looks once a [semaphore.Step] to have looked, on a busy machine.
const soon = 20 * semaphore.Step

// Killed at any instruction of an operation, a process keeps at most what it has taken, and nobody else from going on.
func TestStepSemaphore(t *testing.T) {
	for name, u := range singlestep.Part(steppedUses) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				st := newStage(t, 2)
				require.True(t, u.permits == 0 || st.TryAcquire(u.permits))
				was := st.Value()
				served := u.waiter(t, st, w)
				wake := func() bool {
					if !u.wakes || st.Free().Load() != was {
						return false
					}
					was++
					u.give(st)
					st.Release(1)
					return true
				}
				require.NoError(t, w.Run(name, st.file, wake, st.mem[:semaphore.Size]))
				u.account(t, st, w, was, served)
			})
		})
	}
}

// waiter has somebody of this process sleep until there are permits, if there is to be one. One that looks for itself is for
// walks that end in a kill: what returns must have woken it.
func (u stepped) waiter(t *testing.T, st *stage, w *singlestep.Walk) <-chan error {
	if u.waits == 0 {
		return nil
	}
	handle, err := semaphore.Attach(st.mem)
	require.NoError(t, err)
	if w.Whole() {
		handle.Unbounded()
	}
	served := acquire(watched(t), handle, u.waits)
	until(t, "it sleeps", func() bool { return handle.Asleep() })
	u.give(st)
	t.Cleanup(func() { require.NoError(t, handle.Close()) })
	return served
}

// give gives the turn to who has the first claim, if there is to be one.
func (u stepped) give(st *stage) {
	if u.turn {
		st.Turn().Store(semaphore.TurnOf(0))
	}
}

// account looks after the kill: was is how many permits were free before.
func (u stepped) account(t *testing.T, st *stage, w *singlestep.Walk, was int64, served <-chan error) {
	due := was + u.change
	if served != nil {
		u.serve(t, st, w, served)
		due = was // who waited has what was released
	}
	value := st.Value()
	require.True(t, value == due || !w.Returned && value == was, "%d free, of %d and a change of %d", value, was, u.change)
	st.Release(2 - value) // what this process has, or the dead one had
	st.requireLive(t)
}

// serve expects that who waits has soon what was released. If nothing was, somebody who lives does it.
func (u stepped) serve(t *testing.T, st *stage, w *singlestep.Walk, served <-chan error) {
	select {
	case err := <-served:
		require.NoError(t, err)
	case <-time.After(soon):
		require.False(t, w.Returned, "it was not woken")
		require.Zero(t, st.Value(), "permits are free and nobody takes them")
		st.Release(u.change)
		require.NoError(t, recv(t, served, "it is woken"))
	}
}

// requireLive has a process of another handle sleep for a permit and be woken, once for one and once for two.
func (st *stage) requireLive(t *testing.T) {
	handle, err := semaphore.Attach(st.mem)
	require.NoError(t, err)
	handle.Unbounded()
	for n := range int64(2) {
		require.True(t, st.TryAcquire(2))
		served := acquire(watched(t), handle, n+1)
		until(t, "it sleeps", func() bool { return handle.Asleep() })
		st.Release(2)
		require.NoError(t, recv(t, served, "it is woken"))
		handle.Release(n + 1)
	}
	require.NoError(t, handle.Close())
	require.EqualValues(t, 2, st.Value())
}

// Killed at any instruction, who notifies leaves sleepers that find the change within a Step, and who sleeps leaves nothing
// that keeps others from being woken at once.
func TestStepEventcount(t *testing.T) {
	for name, c := range singlestep.Part(countings) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				st := newStage(t, 2)
				e, condition := steppedCount(st.mem)
				step := semaphore.Step
				if w.Whole() {
					step = -1 // they must be woken
				}
				var sleepers sleepers
				sleepers.start(c.sleepers, e, condition, step)
				until(t, "they have announced themselves", func() bool { return c.sleepers == 0 || sleepers.announced.Load() >= int64(c.sleepers) })
				wake := func() bool {
					if w.Whole() || condition.Load() != 0 {
						return false
					}
					stepNotify(1)(e, condition)
					return true
				}
				require.NoError(t, w.Run(name, st.file, wake, st.mem[heldAt:usesAt+8]))
				if !c.sleeps && condition.Load() == 0 {
					require.False(t, w.Returned)
					condition.Store(1)
					e.NotifyAll() // by who lives
				}
				sleepers.requireAwake(t)
				condition.Store(0)
				sleepers.start(2, e, condition, -1)
				until(t, "others sleep", func() bool { return sleepers.announced.Load() >= 2 })
				stepNotify(1)(e, condition)
				stepNotify(1)(e, condition)
				sleepers.requireAwake(t)
			})
		})
	}
}

// sleepers are goroutines that wait for a condition.
type sleepers struct {
	announced atomic.Int64
	all       sync.WaitGroup
}

func (s *sleepers) start(n int, e semaphore.Eventcount, condition *atomic.Uint32, step time.Duration) {
	s.announced.Store(0)
	for range n {
		s.all.Go(func() {
			for condition.Load() == 0 {
				ticket := e.Announce()
				if condition.Load() != 0 {
					return
				}
				s.announced.Add(1)
				e.Sleep(ticket, step)
			}
		})
	}
}

func (s *sleepers) requireAwake(t *testing.T) {
	awake := make(chan struct{})
	go func() { defer close(awake); s.all.Wait() }()
	select {
	case <-awake:
	case <-time.After(soon):
		require.FailNow(t, "somebody sleeps on")
	}
}
