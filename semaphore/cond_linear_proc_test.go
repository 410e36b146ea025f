package semaphore_test

import (
	"context"
	"errors"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
)

// What is done with a condition and its lock, and what comes of it.
type (
	condCall struct {
		Op      condOp
		Process int8
		N       int8 // notified
	}
	condResult struct {
		Signalled bool
		Died      bool  // who held the lock before
		Late      int64 // if it was not signalled, the moment when its context ended
	}
	condScribe   = history.Scribe[condCall, condResult]
	condHappened = history.Operation[condCall, condResult]
)

type condOp uint8

const (
	condLock condOp = iota
	condUnlock
	condWait
	condNotify // by who holds the lock: it is open whom others mean

	// Of these a history is checked: a Wait is to give the lock up and to be counted, to leave if it was not signalled in time, and to lock again.
	condBegins
	condLeaves
	condReturns
	condDies
	condAgain // another is signalled in place of who died, by one more of those who see to that
)

const condAll = 100 // Broadcast

// condState is a lock, and how many of those who wait are signalled, whoever they are.
type condState struct {
	Holder    int8 // a process, heldByNobody, or heldByDead
	Waiting   uint8
	Leaving   uint8
	Signalled int8
}

func (s *condState) waiting() int8 { return int8(bits.OnesCount8(s.Waiting)) }

// signal signals so many of those who wait, or all.
func (s *condState) signal(n int8) { s.Signalled = min(s.Signalled+n, s.waiting()) }

// locks reports whether a process can have the lock, which tells it of a death or not.
func (s *condState) locks(in condCall, out *condResult) (ok bool) {
	ok = s.Holder < 0 && (out == nil || out.Died == (s.Holder == heldByDead))
	if ok {
		s.Holder = in.Process
	}
	return ok
}

// returns is the end of a Wait: it was signalled, and the signal is nobody else's, or it has left.
func (s *condState) returns(in condCall, out *condResult) (ok bool) {
	me := uint8(1) << in.Process
	left := s.Leaving&me != 0
	if !left && (s.Waiting&me == 0 || s.Signalled == 0) || out != nil && out.Signalled == left || !s.locks(in, out) {
		return false
	}
	if !left {
		s.Signalled--
	}
	s.Waiting &^= me
	s.Leaving &^= me
	return true
}

// condSpec is a condition and its lock. A Notify is for as many of those who wait and are not signalled yet as it says: each returns only by one, or
// leaves before. The signal of one who dies is another's; when others learn of the death, and see to that, is open.
var condSpec = history.Spec[condState, condCall, condResult]{
	Init: condState{Holder: heldByNobody},
	Step: func(was condState, in condCall, out *condResult) (condState, bool) {
		s, me, legal := was, uint8(1)<<in.Process, true
		holds := s.Holder == in.Process
		switch in.Op {
		case condLock:
			legal = s.locks(in, out)
		case condUnlock:
			if legal = holds; holds {
				s.Holder = heldByNobody
			}
		case condNotify:
			if legal = holds; holds {
				s.signal(in.N)
			}
		case condBegins:
			if legal = holds; holds {
				s.Holder, s.Waiting = heldByNobody, s.Waiting|me
			}
		case condLeaves:
			if legal = s.Waiting&me != 0 && s.waiting() > s.Signalled; legal {
				s.Waiting, s.Leaving = s.Waiting&^me, s.Leaving|me
			}
		case condReturns:
			legal = s.returns(in, out)
		case condAgain:
			s.signal(1)
		case condDies:
			if holds {
				s.Holder = heldByDead
			}
			s.Waiting, s.Leaving = s.Waiting&^me, s.Leaving&^me
			s.signal(0)
		}
		if !legal {
			return was, out == nil
		}
		return s, true
	},
}

// splitWaits makes of each Wait what it is in the spec. A Notify that did not return has signalled some.
func splitWaits(ops []condHappened) (all []condHappened) {
	add := func(o condHappened, op condOp) {
		o.In.Op = op
		all = append(all, o)
	}
	for _, o := range ops {
		switch {
		case o.In.Op == condWait:
			add(o, condBegins)
			call := o.Call
			if o.Out != nil {
				o.Call = max(o.Call, o.Out.Late)
			}
			if o.Out == nil || !o.Out.Signalled {
				add(o, condLeaves)
			}
			add(o, condReturns)
			o.Call = call
			if o.Out == nil { // those who live may each signal another, also if it was dead with the lock before it had said that it is signalled no more
				add(o, condAgain)
				add(o, condAgain)
			}
		case o.In.Op == condNotify && o.Out == nil:
			for n := min(o.In.N, users-1); n > 0; n-- {
				o.In.N = 1
				all = append(all, o)
			}
		default:
			all = append(all, o)
		}
	}
	return all
}

// condHandle is what a process has of both.
type condHandle struct{ *semaphore.Cond }

func (c condHandle) Close() error { return errors.Join(c.Cond.Close(), c.L.Close()) }

func openCond(mutex func([]byte) (*semaphore.Mutex, error), cond func([]byte, *semaphore.Mutex) (*semaphore.Cond, error)) func([]byte) (condHandle, error) {
	return func(mem []byte) (condHandle, error) {
		m, err := mutex(mem)
		if err != nil {
			return condHandle{}, err
		}
		c, err := cond(mem[semaphore.MutexSize:], m)
		return condHandle{c}, err
	}
}

func init() {
	rehearse("condition", openCond(semaphore.AttachMutex, semaphore.AttachCond), waitAndNotify)
}

func waitAndNotify(c condHandle, q cue, by *condScribe) {
	do := func(op condOp, n int8, f func() condResult) {
		by.Do(condCall{op, int8(q.process), n}, f)
	}
	for !by.Full(2) {
		do(condLock, 0, func() condResult {
			ctx, cancel := context.WithTimeout(context.Background(), watchdog)
			defer cancel()
			return condResult{Died: mustHaveDied(c.L.Lock(ctx))}
		})
		switch n := rand.IntN(8); n {
		case 0:
			do(condNotify, condAll, func() (out condResult) { c.Broadcast(); return out })
		case 1, 2, 3:
			do(condNotify, int8(n), func() (out condResult) { c.Notify(n); return out })
		default:
			do(condWait, 0, func() condResult { return waitAWhile(c.Cond, by) })
		}
		do(condUnlock, 0, func() (out condResult) { c.L.Unlock(); return out })
	}
}

// waitAWhile waits not for ever: there may be nobody left who notifies.
func waitAWhile(c *semaphore.Cond, by *condScribe) (out condResult) {
	patience := 2 * time.Millisecond
	if rand.IntN(2) == 0 {
		patience = rand.N(200 * time.Microsecond)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	late := make(chan int64, 1)
	timer := time.AfterFunc(patience, func() { late <- by.Now(); cancel() })
	defer timer.Stop()
	err := c.Wait(ctx)
	out.Died = errors.Is(err, semaphore.ErrOwnerDied)
	switch {
	case errors.Is(err, context.Canceled):
		out.Late = <-late
	case err == nil, out.Died:
		out.Signalled = true
	default:
		panic(err)
	}
	return out
}

func condAt(mem []byte) (io.Closer, error) {
	return openCond(semaphore.NewMutexAt, semaphore.NewCondAt)(mem)
}

func TestCondLinearizable(t *testing.T) {
	stageDrama[condCall, condResult](t, "condition", false).linear(t, 200, condAt, func(ops []condHappened, _ int) (signalled bool) {
		condSpec.Require(t, splitWaits(ops))
		return slices.ContainsFunc(ops, wasSignalled)
	})
}

func wasSignalled(o condHappened) bool {
	return o.In.Op == condWait && o.Out != nil && o.Out.Signalled
}

// A process is killed in each round, until one was waiting, and another was signalled after that.
func TestCondLinearizableWithDeaths(t *testing.T) {
	stageDrama[condCall, condResult](t, "condition", true).linear(t, 200, condAt, func(ops []condHappened, victim int) bool {
		all := splitWaits(ops)
		condSpec.Require(t, withEnd(all, victim, condCall{Op: condDies, Process: int8(victim)}))
		i := slices.IndexFunc(ops, func(o condHappened) bool { return o.Out == nil && o.In.Op == condWait })
		return i >= 0 && slices.ContainsFunc(ops, func(o condHappened) bool { return wasSignalled(o) && o.Return > ops[i].Call })
	})
}

// The checker finds what is wrong: process 0 begins to wait, and process 1 notifies.
func TestCondChecker(t *testing.T) {
	for name, tt := range map[string]struct {
		notified       int8
		late           int64 // its context ends
		before         bool  // it is notified before it waits
		signalled, ok  bool
		dies, toldOfIt bool // process 1, with the lock
	}{
		"signalled":               {notified: 1, signalled: true, ok: true},
		"late":                    {notified: 0, late: 4, ok: true},
		"signalled by nobody":     {notified: 0, signalled: true},
		"a lost signal":           {notified: 1, late: 11},
		"late just before":        {notified: 1, late: 4, ok: true},
		"signalled too early":     {notified: 1, before: true, signalled: true},
		"late after an early one": {notified: 1, before: true, late: 11, ok: true},
		"told of a death":         {notified: 1, signalled: true, dies: true, toldOfIt: true, ok: true},
		"not told of a death":     {notified: 1, signalled: true, dies: true},
	} {
		t.Run(name, func(t *testing.T) {
			at := int64(0)
			add := func(process int8, op condOp, n int8) condHappened {
				at += 2
				return condHappened{Process: int(process), Call: at - 1, Return: at, In: condCall{op, process, n}, Out: new(condResult)}
			}
			var ops []condHappened
			notify := func() {
				ops = append(ops, add(1, condLock, 0), add(1, condNotify, tt.notified))
				if !tt.dies {
					ops = append(ops, add(1, condUnlock, 0))
				}
			}
			if tt.before {
				notify()
			}
			ops = append(ops, add(0, condLock, 0), add(0, condWait, 0))
			waits := len(ops) - 1
			if !tt.before {
				notify()
			}
			at += 2
			ops[waits].Return, *ops[waits].Out = at, condResult{tt.signalled, tt.toldOfIt, tt.late}
			if ops = splitWaits(ops); tt.dies {
				ops = withEnd(ops, 1, condCall{Op: condDies, Process: 1})
				at++
			}
			if tt.ok {
				condSpec.Require(t, ops)
			} else {
				condSpec.Refuse(t, ops)
			}
		})
	}
}
