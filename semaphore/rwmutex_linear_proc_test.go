package semaphore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// Operations that only a reader-writer lock has.
const (
	opTryRLock lockOp = iota + opDie + 1
	opRLock
	opRUnlock
)

// rwState is who has a reader-writer lock, and what is known of those who have died.
type rwState struct {
	Writer  int64 // or heldByNobody
	Readers uint8 // a bit for each process
	Closing uint8 // who may have closed the lock in a call that never returned
	Suspect bool  // a writer has died, and none has written since
}

// rwSpec is a lock that has one writer or any readers, all of whom are told of a writer that has died. A call that fails says nothing: others may have
// been waiting.
var rwSpec = history.Spec[rwState, lockCall, lockResult]{
	Init: rwState{Writer: heldByNobody},
	Step: func(s rwState, in lockCall, out *lockResult) (rwState, bool) {
		me := uint8(1) << in.Process
		switch in.Op {
		case opDie:
			if s.Writer == in.Process || s.Closing&me != 0 {
				s.Writer, s.Suspect = heldByNobody, true
			}
			s.Readers &^= me
			s.Closing &^= me
			return s, true
		case opUnlock:
			legal := s.Writer == in.Process
			if legal {
				s.Writer, s.Suspect = heldByNobody, false
			}
			return s, legal || out == nil
		case opRUnlock:
			legal := s.Readers&me != 0
			s.Readers &^= me
			return s, legal || out == nil
		case opRLock, opTryRLock:
			if out != nil && !out.OK {
				return s, true
			}
			legal := s.Writer == heldByNobody && (out == nil || out.Died == s.Suspect)
			if legal {
				s.Readers |= me
			}
			return s, legal || out == nil
		}
		if out != nil && !out.OK {
			return s, true
		}
		if out == nil {
			s.Closing |= me
			return s, true
		}
		legal := s.Writer == heldByNobody && s.Readers == 0 && out.Died == s.Suspect
		s.Writer = in.Process
		return s, legal
	},
}

func rwInRounds(f *os.File, process int, mortal bool) error {
	seg, err := shm.Attach(f)
	if err != nil {
		return err
	}
	book, err := openLockBook(seg)
	if err != nil {
		return err
	}
	book.Rounds(process, func(round int, by *lockScribe) {
		m, err := semaphore.AttachRWMutex(seg.Bytes()[:semaphore.RWMutexSize])
		if err != nil {
			panic(err)
		}
		if mortal && round%users == process {
			history.KillSelf(dieWithin)
		}
		readAndWrite(m, by, int64(process))
		if err := m.Close(); err != nil {
			panic(err)
		}
	})
	return nil
}

func readAndWrite(m *semaphore.RWMutex, by *lockScribe, process int64) {
	for !by.Full(1) {
		lock, lockWait, tryNow, unlock := opLock, m.Lock, m.TryLock, m.Unlock
		try, end := opTryLock, opUnlock
		if rand.IntN(3) > 0 {
			lock, lockWait, tryNow, unlock = opRLock, m.RLock, m.TryRLock, m.RUnlock
			try, end = opTryRLock, opRUnlock
		}
		var got lockResult
		if rand.IntN(3) == 0 {
			got = by.Do(lockCall{try, process}, func() lockResult {
				ok, err := tryNow()
				return lockResult{ok, mustHaveDied(err)}
			})
		} else {
			got = by.Do(lockCall{lock, process}, func() lockResult { return waitForLock(lockWait) })
		}
		if got.OK {
			for held := time.Now(); time.Since(held) < 20*time.Microsecond; { // long enough to be killed in between
			}
			by.Do(lockCall{end, process}, func() lockResult { unlock(); return lockResult{} })
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

// rwRound plays a round with a new lock, in which each process ends by await.
func rwRound(t *testing.T, seg *shm.Segment, book *history.Book[lockCall, lockResult], await func(process int)) []lockHappened {
	m, err := semaphore.NewRWMutexAt(seg.Bytes()[:semaphore.RWMutexSize])
	require.NoError(t, err)
	book.Begin()
	for i := range users {
		await(i)
	}
	require.NoError(t, m.Close())
	return book.Operations()
}

func TestRWMutexLinearizable(t *testing.T) {
	seg, book := newLockScene(t)
	for i := range users {
		history.Start(t, "read and write", seg.File(), i)
	}
	overlaps, refused, rounds := 0, 0, history.Rounds(200)
	for range rounds {
		ops := rwRound(t, seg, book, func(i int) { book.Await(i) })
		overlaps += history.Overlaps(ops)
		rwSpec.Require(t, ops)
		for i := range ops { // the checker finds a death of which nobody has died
			if ops[i].Out.OK && ops[i].In.Op != opUnlock && ops[i].In.Op != opRUnlock {
				ops[i].Out.Died = true
				rwSpec.Refuse(t, ops)
				refused++
				break
			}
		}
	}
	t.Logf("%d operations overlapped in each of %d histories", overlaps/rounds, rounds)
	require.Greater(t, overlaps, rounds, "what does not overlap shows nothing")
	require.Positive(t, refused)
}

// A process is killed in each round: those who come then are told exactly if it may have been writing.
func TestRWMutexLinearizableWithDeaths(t *testing.T) {
	seg, book := newLockScene(t)
	var players [users]*history.Player
	for i := range players {
		players[i] = history.Start(t, "read and write or die", seg.File(), i)
	}
	told, rounds := 0, history.Rounds(100)
	for round := 1; round <= rounds || told == 0; round++ {
		victim := round % users
		ops := rwRound(t, seg, book, func(i int) {
			if i != victim {
				book.Await(i)
				return
			}
			players[i].Wait()
			book.Killed(i)
			players[i] = history.Start(t, "read and write or die", seg.File(), i)
		})
		for _, o := range ops {
			if o.Out != nil && o.Out.Died {
				told++
			}
		}
		rwSpec.Require(t, withDeath(ops, victim))
	}
	t.Logf("%d were told of a death", told)
}
