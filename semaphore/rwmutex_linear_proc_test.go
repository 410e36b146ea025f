package semaphore_test

import (
	"io"
	"math/rand/v2"
	"testing"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
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

func init() {
	rehearse("read and write", semaphore.AttachRWMutex, readAndWrite)
}

func readAndWrite(m *semaphore.RWMutex, c cue, by *lockScribe) {
	process := int64(c.process)
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
			linger()
			by.Do(lockCall{end, process}, func() lockResult { unlock(); return lockResult{} })
		}
	}
}

func rwMutexAt(mem []byte) (io.Closer, error) { return semaphore.NewRWMutexAt(mem) }

func TestRWMutexLinearizable(t *testing.T) {
	stageDrama[lockCall, lockResult](t, "read and write", false).linear(t, 200, rwMutexAt, func(ops []lockHappened, _ int) bool {
		rwSpec.Require(t, ops)
		for i := range ops { // the checker finds a death of which nobody has died
			if ops[i].Out.OK && ops[i].In.Op != opUnlock && ops[i].In.Op != opRUnlock {
				ops[i].Out.Died = true
				rwSpec.Refuse(t, ops)
				return true
			}
		}
		return false
	})
}

// A process is killed in each round: those who come then are told exactly if it may have been writing.
func TestRWMutexLinearizableWithDeaths(t *testing.T) {
	requireLocks(t, "read and write", rwMutexAt, rwSpec)
}
