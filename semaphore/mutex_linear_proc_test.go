package semaphore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
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

func openLockBook(seg *shm.Segment) (*history.Book[lockCall, lockResult], error) {
	return history.Open[lockCall, lockResult](seg.Bytes()[bookAt:], cast, script)
}

func lockInRounds(f *os.File, process int, mortal bool) error {
	seg, err := shm.Attach(f)
	if err != nil {
		return err
	}
	book, err := openLockBook(seg)
	if err != nil {
		return err
	}
	book.Rounds(process, func(round int, by *lockScribe) {
		m, err := semaphore.AttachMutex(seg.Bytes())
		if err != nil {
			panic(err)
		}
		if mortal && round%users == process {
			history.KillSelf(dieWithin)
		}
		lockAndUnlock(m, by, int64(process))
		if err := m.Close(); err != nil {
			panic(err)
		}
	})
	return nil
}

func lockAndUnlock(m *semaphore.Mutex, by *lockScribe, process int64) {
	for !by.Full(1) {
		var got lockResult
		if rand.IntN(3) == 0 {
			got = by.Do(lockCall{opTryLock, process}, func() lockResult {
				ok, err := m.TryLock()
				return lockResult{ok, mustHaveDied(err)}
			})
		} else {
			got = by.Do(lockCall{opLock, process}, func() lockResult {
				patience := watchdog
				if rand.IntN(3) == 0 {
					patience = rand.N(100 * time.Microsecond)
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				err := m.Lock(ctx)
				if errors.Is(err, context.DeadlineExceeded) {
					return lockResult{}
				}
				return lockResult{true, mustHaveDied(err)}
			})
		}
		if got.OK {
			by.Do(lockCall{opUnlock, process}, func() lockResult { m.Unlock(); return lockResult{} })
		}
	}
}

// mustHaveDied reports whether err says that an owner has died, which is all that it may say.
func mustHaveDied(err error) bool {
	if err != nil && !errors.Is(err, semaphore.ErrOwnerDied) {
		panic(err)
	}
	return err != nil
}

// A lockScene is what the processes of these tests share.
func newLockScene(t *testing.T) (*shm.Segment, *history.Book[lockCall, lockResult]) {
	seg := newScene(t).seg
	book, err := openLockBook(seg)
	require.NoError(t, err)
	return seg, book
}

func TestMutexLinearizable(t *testing.T) {
	seg, book := newLockScene(t)
	for i := range users {
		history.Start(t, "lock", seg.File(), i)
	}
	overlaps, rounds := 0, history.Rounds(200)
	for range rounds {
		ops := lockRound(t, seg, book, func(i int) { book.Await(i) })
		overlaps += history.Overlaps(ops)
		mutexSpec.Require(t, ops)
	}
	t.Logf("%d operations overlapped in each of %d histories", overlaps/rounds, rounds)
	require.Greater(t, overlaps, rounds, "what does not overlap shows nothing")
}

// lockRound plays a round with a new mutex, in which each process ends by await.
func lockRound(t *testing.T, seg *shm.Segment, book *history.Book[lockCall, lockResult], await func(process int)) []lockHappened {
	m, err := semaphore.NewMutexAt(seg.Bytes())
	require.NoError(t, err)
	book.Begin()
	for i := range users {
		await(i)
	}
	require.NoError(t, m.Close())
	return book.Operations()
}

// A process is killed in each round: the next holder is told exactly if it died holding the mutex.
func TestMutexLinearizableWithDeaths(t *testing.T) {
	seg, book := newLockScene(t)
	var players [users]*history.Player
	for i := range players {
		players[i] = history.Start(t, "lock or die", seg.File(), i)
	}
	told, rounds := 0, history.Rounds(100)
	for round := 1; round <= rounds || told == 0; round++ {
		victim := round % users
		ops := lockRound(t, seg, book, func(i int) {
			if i != victim {
				book.Await(i)
				return
			}
			players[i].Wait()
			book.Killed(i)
			players[i] = history.Start(t, "lock or die", seg.File(), i)
		})
		for _, o := range ops {
			if o.Out != nil && o.Out.Died {
				told++
			}
		}
		mutexSpec.Require(t, withDeath(ops, victim))
	}
	t.Logf("%d were told of a death", told)
}

// withDeath appends the end of a process to what it has done.
func withDeath(ops []lockHappened, victim int) []lockHappened {
	last := int64(0)
	for _, o := range ops {
		if o.Process == victim {
			last = o.Call
			if o.Out != nil {
				last = o.Return
			}
		}
	}
	return append(ops, lockHappened{Process: victim, Call: last + 1, Return: history.Never, In: lockCall{opDie, int64(victim)}})
}

// The checker finds what is wrong: a lock that two have, and a death of which nobody has died.
func TestMutexChecker(t *testing.T) {
	seg, book := newLockScene(t)
	for i := range users {
		history.Start(t, "lock", seg.File(), i)
	}
	for found := 0; found < 5; {
		ops := lockRound(t, seg, book, func(i int) { book.Await(i) })
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
