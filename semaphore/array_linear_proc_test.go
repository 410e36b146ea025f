package semaphore_test

import (
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
)

// What is done with an array, and what comes of it.
type (
	arrayCall struct {
		Op       arrayOp
		Process  int8
		Part     int8 // of one that did not return: see splitArray
		From, To int8 // elements
		N        int64
	}
	arrayResult struct {
		N, M int64 // what was in From and To
		Died bool  // a process had, holding the lock
	}
	arrayScribe   = history.Scribe[arrayCall, arrayResult]
	arrayHappened = history.Operation[arrayCall, arrayResult]
)

type arrayOp uint8

const (
	arrayLoad  arrayOp = iota // From
	arrayStore                // N to From
	arrayMove                 // N from From to To, by the slice
	arrayDie
)

// Parts of an operation.
const (
	arrayLocks int8 = iota + 1
	arrayWrites
	arrayWritesMore
	arrayUnlocks
)

const arrayLen = 3

// arrayState is the elements, and what is known of the lock.
type arrayState struct {
	Elems  [arrayLen]int64
	Holder int8 // who is in an operation that did not return, plus 1
	Parts  int8 // and how many parts of that have happened
	Dead   bool // it was killed, and nobody was told yet
}

// arraySpec is registers with a lock. Who is killed in an operation leaves what it has written by then; the next is told so.
var arraySpec = history.Spec[arrayState, arrayCall, arrayResult]{
	Step: func(s arrayState, in arrayCall, out *arrayResult) (arrayState, bool) {
		switch {
		case in.Op == arrayDie:
			if s.Holder == in.Process+1 {
				s.Holder, s.Dead = 0, true
			}
			return s, true
		case in.Part != 0:
			return s.does(in), true
		}
		was := arrayResult{s.Elems[in.From], s.Elems[in.To], s.Dead}
		if in.Op == arrayStore {
			was.N, was.M = 0, 0 // it does not say
		}
		legal := s.Holder == 0 && *out == was
		for in.Part = arrayLocks; in.Part <= arrayUnlocks; in.Part++ {
			s = s.does(in)
		}
		return s, legal
	},
}

// does returns s after a part of an operation, if that can be.
func (s arrayState) does(in arrayCall) arrayState {
	if in.Part == arrayLocks {
		if s.Holder == 0 {
			s.Holder, s.Parts, s.Dead = in.Process+1, 1, false
		}
		return s
	}
	if s.Holder != in.Process+1 || s.Parts+1 != in.Part {
		return s
	}
	s.Parts++
	switch {
	case in.Part == arrayUnlocks:
		s.Holder, s.Parts = 0, 0
	case in.Op == arrayStore && in.Part == arrayWrites:
		s.Elems[in.From] = in.N
	case in.Op == arrayMove && in.Part == arrayWrites:
		s.Elems[in.From] -= in.N
	case in.Op == arrayMove && in.Part == arrayWritesMore:
		s.Elems[in.To] += in.N
	}
	return s
}

// splitArray makes of an operation that did not return its parts, of which the first ones may have happened.
func splitArray(ops []arrayHappened) (all []arrayHappened) {
	for _, o := range ops {
		if o.Out != nil {
			all = append(all, o)
			continue
		}
		for o.In.Part = arrayLocks; o.In.Part <= arrayUnlocks; o.In.Part++ {
			all = append(all, o)
		}
	}
	return all
}

func init() {
	rehearse("array", semaphore.AttachArray[int64], func(a *semaphore.Array[int64], c cue, by *arrayScribe) {
		for !by.Full(0) {
			from := rand.IntN(arrayLen)
			to := (from + 1 + rand.IntN(arrayLen-1)) % arrayLen
			in := arrayCall{Op: arrayOp(rand.IntN(3)), Process: int8(c.process), From: int8(from), To: int8(to), N: 1 + rand.Int64N(100)}
			if in.Op != arrayMove {
				in.To = in.From
			}
			by.Do(in, func() arrayResult { return doArray(a, in) })
		}
	})
}

// doArray does it.
func doArray(a *semaphore.Array[int64], in arrayCall) (out arrayResult) {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	var err error
	switch in.Op {
	case arrayLoad:
		out.N, err = a.Load(ctx, int(in.From))
		out.M = out.N
	case arrayStore:
		err = a.Store(ctx, int(in.From), in.N)
	case arrayMove:
		err = a.Mutex().Lock(ctx)
		s := a.Slice()
		out.N, out.M = s[in.From], s[in.To]
		s[in.From] -= in.N
		linger()
		s[in.To] += in.N
		a.Mutex().Unlock()
	}
	out.Died = mustHaveDied(err)
	return out
}

func arrayAt(mem []byte) (io.Closer, error) { return semaphore.NewArrayAt[int64](mem, arrayLen) }

func TestArrayLinearizable(t *testing.T) {
	stageDrama[arrayCall, arrayResult](t, "array", false).linear(t, 200, arrayAt, func(ops []arrayHappened, _ int) bool {
		arraySpec.Require(t, ops)
		i := slices.IndexFunc(ops, func(o arrayHappened) bool { return o.In.Op == arrayMove })
		if i < 0 {
			return false
		}
		ops[i].Out.M += 1 << 40 // the checker finds what was not there
		arraySpec.Refuse(t, ops)
		return true
	})
}

// A process is killed in each round, until one was killed within a move: the next is told, whatever it does.
func TestArrayLinearizableWithDeaths(t *testing.T) {
	died := func(ops []arrayHappened, victim int) []arrayHappened {
		return withEnd(ops, victim, arrayCall{Op: arrayDie, Process: int8(victim)})
	}
	stageDrama[arrayCall, arrayResult](t, "array", true).linear(t, 100, arrayAt, func(ops []arrayHappened, victim int) (within bool) {
		all := splitArray(ops)
		arraySpec.Require(t, died(all, victim))
		// Without what it wrote it cannot be explained.
		begun := slices.ContainsFunc(ops, func(o arrayHappened) bool { return o.Out == nil && o.In.Op == arrayMove })
		none := slices.DeleteFunc(slices.Clone(all), func(o arrayHappened) bool { return o.In.Part >= arrayWrites })
		return begun && arraySpec.Check(died(none, victim)) == porcupine.Illegal
	})
}
