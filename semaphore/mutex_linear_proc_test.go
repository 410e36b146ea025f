package semaphore_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
)

// What operations on a mutex are called with, and what they return.
type (
	lockCall struct {
		Op      lockOp
		Process int64
	}
	lockResult   struct{ OK, Died bool }
	lockScribe   = history.Scribe[lockCall, lockResult]
	lockHappened = history.Operation[lockCall, lockResult]
)

type lockOp uint8

const (
	opTryLock lockOp = iota
	opLock
	opUnlock
	opDie // of a process: it comes after all else that it has called
)

// Who holds a mutex: nobody, one who has died, or a process, by its number.
const (
	heldByNobody = -1
	heldByDead   = -2
)

// mutexSpec is a mutex whose next holder is told if the last one has died.
var mutexSpec = history.Spec[int64, lockCall, lockResult]{
	Init: heldByNobody,
	Step: func(holder int64, in lockCall, out *lockResult) (int64, bool) {
		switch in.Op {
		case opDie:
			if holder == in.Process {
				return heldByDead, true
			}
			return holder, true
		case opUnlock:
			if out == nil && holder != in.Process {
				return holder, true
			}
			return heldByNobody, holder == in.Process
		}
		free := holder == heldByNobody || holder == heldByDead
		switch {
		case out == nil && free:
			return in.Process, true
		case out == nil:
			return holder, true
		case out.OK:
			return in.Process, free && out.Died == (holder == heldByDead)
		case in.Op == opTryLock:
			return holder, holder >= 0
		}
		return holder, true // its context has ended
	},
}

func init() { rehearse("lock", semaphore.AttachMutex, lockAndUnlock) }

func lockAndUnlock(m *semaphore.Mutex, c cue, by *lockScribe) {
	process := int64(c.process)
	for !by.Full(1) {
		var got lockResult
		if rand.IntN(3) == 0 {
			got = by.Do(lockCall{opTryLock, process}, func() lockResult {
				ok, err := m.TryLock()
				return lockResult{ok, mustHaveDied(err)}
			})
		} else {
			got = by.Do(lockCall{opLock, process}, func() lockResult { return waitForLock(m.Lock) })
		}
		if got.OK {
			by.Do(lockCall{opUnlock, process}, func() lockResult { m.Unlock(); return lockResult{} })
		}
	}
}

// waitForLock calls a Lock or RLock, with little patience now and then.
func waitForLock(lock func(context.Context) error) lockResult {
	patience := watchdog
	if rand.IntN(3) == 0 {
		patience = rand.N(100 * time.Microsecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := lock(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return lockResult{}
	}
	return lockResult{true, mustHaveDied(err)}
}

// mustHaveDied reports whether err says that an owner has died, which is all that it may say.
func mustHaveDied(err error) bool {
	if err != nil && !errors.Is(err, semaphore.ErrOwnerDied) {
		panic(err)
	}
	return err != nil
}

func mutexAt(mem []byte) (io.Closer, error) { return semaphore.NewMutexAt(mem) }

func TestMutexLinearizable(t *testing.T) {
	stageDrama[lockCall, lockResult](t, "lock", false).linear(t, 200, mutexAt, func(ops []lockHappened, _ int) bool {
		mutexSpec.Require(t, ops)
		return true
	})
}

// A process is killed in each round: the next holder is told exactly if it died holding the mutex.
func TestMutexLinearizableWithDeaths(t *testing.T) { requireLocks(t, "lock", mutexAt, mutexSpec) }

// requireLocks plays rounds with a lock, in each of which a process is killed, until somebody was told so.
func requireLocks[S comparable](t *testing.T, part string, lock func([]byte) (io.Closer, error), spec history.Spec[S, lockCall, lockResult]) {
	stageDrama[lockCall, lockResult](t, part, true).linear(t, 100, lock, func(ops []lockHappened, victim int) (told bool) {
		spec.Require(t, withEnd(ops, victim, lockCall{opDie, int64(victim)}))
		return slices.ContainsFunc(ops, func(o lockHappened) bool { return o.Out != nil && o.Out.Died })
	})
}

// The checker finds what is wrong: a lock that two have, and a death of which nobody has died.
func TestMutexChecker(t *testing.T) {
	d := stageDrama[lockCall, lockResult](t, "lock", false)
	for found := 0; found < 5; {
		ops := d.round(t, mutexAt)
		for i := range ops {
			if ops[i].In.Op != opUnlock && ops[i].Out.OK {
				ops[i].Out.Died = true
				mutexSpec.Refuse(t, ops)
				ops[i].Out.Died = false
				break
			}
		}
		for i := range ops {
			if ops[i].In.Op == opTryLock && !ops[i].Out.OK && lockedAfter(ops, ops[i].Return) {
				ops[i].Out.OK = true
				mutexSpec.Refuse(t, ops)
				found++
				break
			}
		}
	}
}

// lockedAfter reports whether somebody has got the mutex in a call that began after a moment.
func lockedAfter(ops []lockHappened, at int64) bool {
	return slices.ContainsFunc(ops, func(o lockHappened) bool { return o.In.Op != opUnlock && o.Out.OK && o.Call > at })
}
