package semaphore_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
)

// What is done with a once, and what comes of it.
type (
	onceCall struct {
		Op      onceOp
		Process int64
		Fate    onceFate // of what onceEnd ends
	}
	onceScribe   = history.Scribe[onceCall, onceFate]
	onceHappened = history.Operation[onceCall, onceFate]
)

type onceOp uint8

const (
	onceDo     onceOp = iota
	onceRun           // within a Do: what it does
	onceIsDone        // Done

	// Of these a history is checked. A Do that does it begins between its call and that of what it does, and ends between the returns of
	// both.
	onceBegin
	onceEnd
	onceFind // a Do that succeeds, and has done nothing
	onceDie
)

type onceFate uint8

const (
	onceLate onceFate = iota // a Do's context has ended
	onceFailed
	onceSucceeded
)

// Who does it: nobody, nobody any more, or a process, by its number.
const (
	onceByNobody = -1
	onceIsOver   = -2
)

// onceSpec is what one at a time does until one succeeds. Who dies of it has not done it.
var onceSpec = history.Spec[int64, onceCall, onceFate]{
	Init: onceByNobody,
	Step: func(by int64, in onceCall, out *onceFate) (int64, bool) {
		switch in.Op {
		case onceBegin:
			return in.Process, by == onceByNobody
		case onceEnd:
			switch {
			case by != in.Process:
				return by, out == nil
			case in.Fate == onceSucceeded:
				return onceIsOver, out == nil || *out == in.Fate
			}
			return onceByNobody, out == nil || *out == in.Fate
		case onceFind:
			return by, by == onceIsOver
		case onceDie:
			if by == in.Process {
				by = onceByNobody
			}
			return by, true
		}
		return by, out == nil || (*out == onceSucceeded) == (by == onceIsOver)
	},
}

// splitDos makes of each Do what it is in the spec.
func splitDos(ops []onceHappened) (all []onceHappened) {
	for i, o := range ops {
		switch o.In.Op {
		case onceIsDone:
			all = append(all, o)
		case onceDo:
			run := runOf(o, ops[i+1:])
			if run == nil {
				if o.Out != nil && *o.Out == onceSucceeded {
					o.In.Op = onceFind
					all = append(all, o)
				}
				continue // it has waited, and others do not know
			}
			begin := o
			begin.In.Op, begin.Return, begin.Out = onceBegin, run.Call, new(onceFate)
			all = append(all, begin)
			if run.Out != nil {
				o.In.Op, o.In.Fate, o.Call = onceEnd, *run.Out, run.Return
				all = append(all, o)
			}
		}
	}
	return all
}

// runOf returns what a Do does: the next that its process has noted. It is nil if that is something else.
func runOf(do onceHappened, after []onceHappened) *onceHappened {
	for i, o := range after {
		if o.Process == do.Process {
			if o.In.Op != onceRun {
				return nil
			}
			return &after[i]
		}
	}
	return nil
}

func init() { rehearse("once", semaphore.AttachOnce, doInRound) }

func doInRound(o *semaphore.Once, c cue, by *onceScribe) {
	process := int64(c.process)
	run := func() error {
		fate := by.Do(onceCall{Op: onceRun, Process: process}, func() onceFate {
			linger()
			if rand.IntN(16) == 0 {
				return onceSucceeded
			}
			return onceFailed
		})
		if fate == onceFailed {
			return errFailed
		}
		return nil
	}
	for !by.Full(2) {
		if rand.IntN(4) == 0 {
			by.Do(onceCall{Op: onceIsDone, Process: process}, func() onceFate {
				if o.Done() {
					return onceSucceeded
				}
				return onceFailed
			})
		}
		by.Do(onceCall{Op: onceDo, Process: process}, func() onceFate {
			patience := watchdog
			if rand.IntN(3) == 0 {
				patience = rand.N(100 * time.Microsecond)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			switch err := o.Do(ctx, run); {
			case err == nil:
				return onceSucceeded
			case err == errFailed:
				return onceFailed
			case errors.Is(err, context.DeadlineExceeded) && patience < watchdog:
				return onceLate
			default:
				panic(err)
			}
		})
	}
}

func onceAt(mem []byte) (io.Closer, error) { return semaphore.NewOnceAt(mem) }

// It is done by one at a time until one succeeds, and nobody returns before that as if it were done.
func TestOnceLinearizable(t *testing.T) {
	refused := 0
	stageDrama[onceCall, onceFate](t, "once", false).linear(t, 200, onceAt, func(ops []onceHappened, _ int) bool {
		all := splitDos(ops)
		onceSpec.Require(t, all)
		for i, o := range all { // the checker finds one that was done again
			if o.In.Op == onceEnd && o.In.Fate == onceFailed && begunAfter(all, o.Return) {
				succeeded := onceSucceeded
				all[i].In.Fate, all[i].Out = onceSucceeded, &succeeded
				onceSpec.Refuse(t, all)
				refused++
				break
			}
		}
		return refused > 0
	})
	require.Positive(t, refused)
}

func begunAfter(ops []onceHappened, at int64) bool {
	for _, o := range ops {
		if o.In.Op == onceBegin && o.Call > at {
			return true
		}
	}
	return false
}

// A process is killed in each round, until one was killed while it did it, and another did it then.
func TestOnceLinearizableWithDeaths(t *testing.T) {
	stageDrama[onceCall, onceFate](t, "once", true).linear(t, 100, onceAt, func(ops []onceHappened, victim int) bool {
		all := splitDos(ops)
		onceSpec.Require(t, withEnd(all, victim, onceCall{Op: onceDie, Process: int64(victim)}))
		for _, o := range ops {
			if o.Process == victim && o.In.Op == onceRun && o.Out == nil {
				return begunAfter(all, o.Call)
			}
		}
		return false
	})
}
