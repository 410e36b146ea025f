//go:build linux && amd64

package semaphore_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/singlestep"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/semaphore"
)

// steppedLocks are a process's handles in these tests: the mutex lies first, the RWMutex behind it.
type steppedLocks struct {
	*semaphore.Mutex
	rw *semaphore.RWMutex
}

func openStepped(mem []byte) steppedLocks {
	m, err := semaphore.AttachMutex(mem)
	if err != nil {
		panic(err)
	}
	rw, err := semaphore.AttachRWMutex(mem[semaphore.MutexSize:])
	if err != nil {
		panic(err)
	}
	return steppedLocks{m, rw}
}

// What each of these does when it is killed.
type steppedLock struct {
	prepare func(t *testing.T, l steppedLocks)              // by the test, before the child begins
	waiter  func(l steppedLocks, ctx context.Context) error // that sleeps then, in this process
	asleep  func(l steppedLocks) bool
	leave   func(l steppedLocks) // what the waiter does when it has what it waits for

	begin   func(l steppedLocks) // by the child, before it is stepped
	operate func(l steppedLocks)
	wake    func(l steppedLocks) // by the test, when the child sleeps
	release func(l steppedLocks) // by the test, if it has not woken the child

	holds bool // who has returned has died with the mutex, or within the RWMutex as a writer
}

func own(t *testing.T, l steppedLocks) {
	require.NoError(t, l.Lock(watched(t)))
	require.NoError(t, l.rw.Lock(watched(t)))
}

func disownMutex(l steppedLocks) { l.Unlock() }
func disownRW(l steppedLocks)    { l.rw.Unlock() }

var (
	stepLock   = func(l steppedLocks) { _ = l.Lock(context.Background()) }
	stepWrite  = func(l steppedLocks) { _ = l.rw.Lock(context.Background()) }
	stepRead   = func(l steppedLocks) { _ = l.rw.RLock(context.Background()) }
	waitLock   = func(l steppedLocks, ctx context.Context) error { return l.Lock(ctx) }
	waitRead   = func(l steppedLocks, ctx context.Context) error { return l.rw.RLock(ctx) }
	waitWrite  = func(l steppedLocks, ctx context.Context) error { return l.rw.Lock(ctx) }
	lockAsleep = func(l steppedLocks) bool { return l.Mutex.Asleep() }
)

var lockSteps = map[string]steppedLock{
	"Mutex: Lock":                {operate: stepLock, holds: true},
	"Mutex: Lock after a death":  {prepare: func(t *testing.T, l steppedLocks) { l.Word().Store(deadProcess(t)) }, operate: stepLock, holds: true},
	"Mutex: Lock that sleeps":    {prepare: own, operate: stepLock, release: disownMutex},
	"Mutex: Lock that is woken":  {prepare: own, operate: stepLock, wake: disownMutex, holds: true},
	"Mutex: Unlock":              {begin: stepLock, operate: disownMutex},
	"Mutex: Unlock of a sleeper": {prepare: own, waiter: waitLock, asleep: lockAsleep, leave: disownMutex, begin: func(l steppedLocks) { l.Inherit() }, operate: disownMutex},
	"Mutex: Unlock in turn": {prepare: func(t *testing.T, l steppedLocks) { own(t, l); l.SetPassed(semaphore.MaxPassed) },
		waiter: waitLock, asleep: lockAsleep, leave: disownMutex, begin: func(l steppedLocks) { l.Inherit() }, operate: disownMutex},

	"RWMutex: RLock":               {operate: stepRead},
	"RWMutex: RLock that sleeps":   {prepare: own, operate: stepRead, release: disownRW},
	"RWMutex: RLock that is woken": {prepare: own, operate: stepRead, wake: disownRW},
	"RWMutex: RUnlock":             {begin: stepRead, operate: func(l steppedLocks) { l.rw.RUnlock() }},
	"RWMutex: RUnlock of a sleeper": {prepare: func(t *testing.T, l steppedLocks) { require.NoError(t, l.rw.RLock(watched(t))) },
		waiter: waitWrite, asleep: func(l steppedLocks) bool { return l.rw.DrainAsleep() }, leave: disownRW,
		begin: func(l steppedLocks) { l.rw.InheritReader() }, operate: func(l steppedLocks) { l.rw.RUnlock() }},
	"RWMutex: Lock": {operate: stepWrite, holds: true},
	"RWMutex: Lock after a death": {prepare: func(t *testing.T, l steppedLocks) { l.rw.Word().Store(deadProcess(t)); l.rw.Gate().Store(1) },
		operate: stepWrite, holds: true},
	"RWMutex: Lock that sleeps": {prepare: func(t *testing.T, l steppedLocks) { require.NoError(t, l.rw.RLock(watched(t))) },
		operate: stepWrite, release: func(l steppedLocks) { l.rw.RUnlock() }},
	"RWMutex: Lock that is woken": {prepare: func(t *testing.T, l steppedLocks) { require.NoError(t, l.rw.RLock(watched(t))) },
		operate: stepWrite, wake: func(l steppedLocks) { l.rw.RUnlock() }, holds: true},
	"RWMutex: Unlock": {begin: stepWrite, operate: disownRW},
	"RWMutex: Unlock of a sleeper": {prepare: own, waiter: waitRead, asleep: func(l steppedLocks) bool { return l.rw.ReaderAsleep() },
		leave: func(l steppedLocks) { l.rw.RUnlock() }, begin: func(l steppedLocks) { l.rw.Inherit() }, operate: disownRW},
}

// lockOperations are the operations of this file. That a process is told of the end of others is no part of what is stepped.
var lockOperations = func() map[string]singlestep.Operation {
	all := map[string]singlestep.Operation{}
	for name, o := range lockSteps {
		all[name] = func(f *os.File) func() {
			l := openStepped(mapStepped(f))
			if o.begin != nil {
				o.begin(l)
			}
			l.Watch()
			l.rw.Watch()
			if o.wake != nil || o.release != nil {
				l.Mutex.Unbounded()
				l.rw.Unbounded()
			}
			return func() { o.operate(l) }
		}
	}
	return all
}()

// Killed at any instruction of an operation on a lock, a process keeps nobody from it: the next has it soon, and is told of the death if
// the dead one had it.
func TestStepLocks(t *testing.T) {
	for name, o := range singlestep.Part(lockSteps) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				f, mem, l := newSteppedLocks(t)
				if o.prepare != nil {
					o.prepare(t, l)
				}
				var served chan error
				if o.waiter != nil {
					if w.Whole() {
						l.Mutex.Unbounded() // what returns must have woken it
						l.rw.Unbounded()
					}
					served = make(chan error, 1)
					go func() { served <- o.waiter(l, watched(t)) }()
					until(t, "asleep", func() bool { return o.asleep(l) })
				}
				woken := false
				wake := func() bool {
					if o.wake == nil || woken {
						return false
					}
					woken = true
					o.wake(l)
					return true
				}
				require.NoError(t, w.Run(name, f, wake, mem[:semaphore.MutexSize+semaphore.MutexSize+1024]))
				switch {
				case o.release != nil:
					o.release(l)
				case o.wake != nil && !woken:
					o.wake(l)
				}
				if served != nil {
					require.NoError(t, ownerMayHaveDied(recv(t, served, "it is woken")))
					o.leave(l)
				}
				o.account(t, l, name[0] == 'M', w.Returned)
			})
		})
	}
}

func newSteppedLocks(t *testing.T) (*os.File, []byte, steppedLocks) {
	const size = semaphore.MutexSize + semaphore.RWMutexSize
	f, err := sys.Memfd("shmkit:locks-test", size)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	mem := mapStepped(f)
	t.Cleanup(func() { require.NoError(t, mem.Unmap()) })
	m, err := semaphore.NewMutexAt(mem)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	rw, err := semaphore.NewRWMutexAt(mem[semaphore.MutexSize:])
	require.NoError(t, err)
	require.NoError(t, rw.Close())
	l := openStepped(mem)
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		require.NoError(t, l.rw.Close())
	})
	return f, mem, l
}

func ownerMayHaveDied(err error) error {
	if errors.Is(err, semaphore.ErrOwnerDied) {
		return nil
	}
	return err
}

// account looks after the kill.
func (o steppedLock) account(t *testing.T, l steppedLocks, mutex, returned bool) {
	lock, unlock := l.rw.Lock, l.rw.Unlock
	if mutex {
		lock, unlock = l.Lock, l.Unlock
		if o.prepare != nil && l.rw.Gate().Load() == 1 {
			l.rw.Unlock()
		}
	} else if l.Word().Load() == l.ID() {
		l.Unlock()
	}
	err := lock(watched(t))
	require.NoError(t, ownerMayHaveDied(err))
	if returned && o.holds {
		require.ErrorIs(t, err, semaphore.ErrOwnerDied)
	}
	unlock()
	require.NoError(t, lock(watched(t)), "it is told once")
	unlock()
	require.NoError(t, l.rw.RLock(watched(t)))
	l.rw.RUnlock()
	if mutex {
		for i := range semaphore.Claims {
			require.True(t, l.Claim(i).Load() == 0 || !returned, "a claim is left")
		}
	}
}
