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

// What is done at a barrier, and what comes of it.
type (
	partyCall struct {
		Op      partyOp
		Process int8
		Late    bool // of partyArrives: its context will end, or has ended
		Step    int8 // of partyBreaks and partyMends: how many steps of the Reset there were before
	}
	partyResult struct {
		Fate partyFate
		N    int8 // index, or how many wait
	}
	partyScribe   = history.Scribe[partyCall, partyResult]
	partyHappened = history.Operation[partyCall, partyResult]
)

type partyOp uint8

const (
	partyWait partyOp = iota
	partyAbort
	partyReset
	partyBroken  // Broken
	partyWaiting // Waiting

	// Of these a history is checked: a Wait is to arrive, and then to leave; a Reset breaks what is not broken, as often as another resets it meanwhile,
	// and then makes it whole.
	partyArrives
	partyLeaves
	partyBreaks
	partyMends
	partyDies
	partyStumbles // one who was killed in Wait, and had not arrived: others may know that it was about to
)

type partyFate uint8

const (
	partyOutside partyFate = iota
	partyWaits
	partyPasses // its round has
	partyFails  // its round was broken
	partyLate   // its context has ended
	partyDead
)

// partyState is a barrier, and what became of who is in Wait.
type partyState struct {
	Broken bool
	Count  int8
	Fate   [users]partyFate
	Index  [users]int8
	Steps  [users]int8 // of a Reset that is on
}

// breaks breaks it, for all who wait.
func (s *partyState) breaks() {
	s.end(partyFails)
	s.Broken = true
}

// end ends the round, for all who wait.
func (s *partyState) end(fate partyFate) {
	for i, was := range s.Fate {
		if was == partyWaits {
			s.Fate[i] = fate
		}
	}
	s.Count = 0
}

func (s *partyState) arrives(in partyCall, parties int8) {
	own := &s.Fate[in.Process]
	switch {
	case *own != partyOutside: // it is dead
	case s.Broken:
		*own = partyFails
	case in.Late && s.Count == parties-1: // its context had ended before
		s.breaks()
		*own = partyFails
	default:
		*own, s.Index[in.Process] = partyWaits, s.Count
		if s.Count++; s.Count == parties {
			s.end(partyPasses)
		}
	}
}

// resets reports whether a step of a Reset can come now.
func (s *partyState) resets(in partyCall) (ok bool) {
	steps := &s.Steps[in.Process]
	switch {
	case *steps != in.Step:
		return false
	case in.Op == partyMends:
		ok = s.Broken || s.Count == 0
		if ok {
			*steps, s.Broken = 0, false
		}
		return ok
	case s.Count > 0:
		s.breaks()
	}
	*steps++
	return true
}

// leaves reports whether a Wait can end so.
func (s *partyState) leaves(in partyCall, out partyResult) (ok bool) {
	own := &s.Fate[in.Process]
	was := *own
	if out.Fate == partyLate && was == partyWaits {
		s.breaks()
	}
	*own = partyOutside
	switch out.Fate {
	case partyPasses:
		return was == partyPasses && s.Index[in.Process] == out.N
	case partyLate: // if the round had passed, it would have returned that
		return was == partyWaits || was == partyFails
	}
	return was == partyFails
}

// barrierSpec is a barrier for so many parties: those of a round are told the same of it, each with an index of its own if it has passed, whatever
// becomes of later ones. It is broken when one who waits gives up, or dies.
func barrierSpec(parties int8) history.Spec[partyState, partyCall, partyResult] {
	return history.Spec[partyState, partyCall, partyResult]{
		Step: func(s partyState, in partyCall, out *partyResult) (partyState, bool) {
			legal := true
			switch own := &s.Fate[in.Process]; in.Op {
			case partyArrives:
				s.arrives(in, parties)
			case partyLeaves:
				legal = s.leaves(in, *out)
			case partyAbort:
				s.breaks()
			case partyBreaks, partyMends:
				legal = s.resets(in) || out == nil
			case partyStumbles:
				if *own == partyOutside {
					s.breaks()
					*own = partyDead
				}
			case partyDies:
				if *own == partyWaits {
					s.breaks()
				}
				*own = partyDead
			case partyBroken:
				legal = out == nil || (out.Fate == partyFails) == s.Broken
			case partyWaiting:
				legal = out == nil || out.N == s.Count
			}
			return s, legal
		},
	}
}

// splitParties makes of each Wait and Reset what it is in the spec.
func splitParties(ops []partyHappened) (all []partyHappened) {
	add := func(o partyHappened, op partyOp) {
		o.In.Op = op
		all = append(all, o)
	}
	for _, o := range ops {
		switch o.In.Op {
		case partyWait:
			o.In.Late = o.Out != nil && o.Out.Fate == partyLate
			add(o, partyArrives)
			if o.Out == nil {
				add(o, partyStumbles)
			} else {
				add(o, partyLeaves)
			}
		case partyReset:
			for _, other := range ops {
				if other.In.Op == partyReset && other.Call < o.Return && o.Call < other.Return { // itself, too
					add(o, partyBreaks)
					o.In.Step++
				}
			}
			add(o, partyMends)
		default:
			all = append(all, o)
		}
	}
	return all
}

func init() { rehearse("parties", semaphore.AttachBarrier, playParty) }

func playParty(b *semaphore.Barrier, c cue, by *partyScribe) {
	do := func(op partyOp, f func() partyResult) partyResult {
		return by.Do(partyCall{Op: op, Process: int8(c.process)}, f)
	}
	for !by.Full(1) {
		switch rand.IntN(12) {
		case 0:
			do(partyAbort, func() (out partyResult) { b.Abort(); return out })
		case 1:
			do(partyReset, func() (out partyResult) { b.Reset(); return out })
		case 2:
			do(partyWaiting, func() partyResult { return partyResult{N: int8(b.Waiting())} })
		case 3:
			do(partyBroken, func() (out partyResult) {
				if b.Broken() {
					out.Fate = partyFails
				}
				return out
			})
		default:
			got := do(partyWait, func() partyResult { return waitAsParty(b) })
			if got.Fate != partyPasses && rand.IntN(2) == 0 {
				do(partyReset, func() (out partyResult) { b.Reset(); return out })
			}
		}
	}
}

// waitAsParty waits not for ever: the others may not come again in this round.
func waitAsParty(b *semaphore.Barrier) partyResult {
	patience := 5 * time.Millisecond
	if rand.IntN(2) == 0 {
		patience = rand.N(300 * time.Microsecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch index, err := b.Wait(ctx); {
	case err == nil:
		return partyResult{Fate: partyPasses, N: int8(index)}
	case err == semaphore.ErrBroken:
		return partyResult{Fate: partyFails}
	case errors.Is(err, context.DeadlineExceeded):
		return partyResult{Fate: partyLate}
	default:
		panic(err)
	}
}

// barriers makes barriers for two parties and for three, by turns. The spec is that of the last.
func barriers() (next func(mem []byte) (io.Closer, error), spec func() history.Spec[partyState, partyCall, partyResult]) {
	parties := users
	return func(mem []byte) (io.Closer, error) {
			parties = 5 - parties
			return semaphore.NewBarrierAt(mem, parties)
		}, func() history.Spec[partyState, partyCall, partyResult] {
			return barrierSpec(int8(parties))
		}
}

func TestBarrierLinearizable(t *testing.T) {
	next, spec := barriers()
	stageDrama[partyCall, partyResult](t, "parties", false).linear(t, 200, next, func(ops []partyHappened, _ int) (passed bool) {
		spec().Require(t, splitParties(ops))
		return slices.ContainsFunc(ops, func(o partyHappened) bool { return o.Out.Fate == partyPasses })
	})
}

// The checker finds what is wrong.
func TestBarrierChecker(t *testing.T) {
	wait := func(process int, call, back int64, fate partyFate, index int8) partyHappened {
		return partyHappened{Process: process, Call: call, Return: back, In: partyCall{Process: int8(process)}, Out: &partyResult{fate, index}}
	}
	for name, tt := range map[string]struct {
		first, second partyHappened
		ok            bool
	}{
		"both pass":                     {wait(0, 1, 4, partyPasses, 0), wait(1, 2, 3, partyPasses, 1), true},
		"both are broken":               {wait(0, 1, 4, partyFails, 0), wait(1, 2, 3, partyLate, 0), true},
		"an index twice":                {wait(0, 1, 4, partyPasses, 1), wait(1, 2, 3, partyPasses, 1), false},
		"one is told otherwise":         {wait(0, 1, 4, partyPasses, 0), wait(1, 2, 3, partyFails, 0), false},
		"one gives up what has passed":  {wait(0, 1, 4, partyPasses, 0), wait(1, 2, 3, partyLate, 1), false},
		"one passes before the other":   {wait(0, 1, 2, partyPasses, 0), wait(1, 3, 4, partyPasses, 1), false},
		"broken by nobody":              {wait(0, 1, 2, partyFails, 0), wait(1, 3, 4, partyLate, 1), false},
		"broken, and passes afterwards": {wait(0, 1, 2, partyLate, 0), wait(1, 3, 4, partyPasses, 0), false},
	} {
		t.Run(name, func(t *testing.T) {
			ops := splitParties([]partyHappened{tt.first, tt.second})
			if tt.ok {
				barrierSpec(2).Require(t, ops)
			} else {
				barrierSpec(2).Refuse(t, ops)
			}
		})
	}
}

// A process is killed in each round, until one was waiting, and others were told.
func TestBarrierLinearizableWithDeaths(t *testing.T) {
	next, spec := barriers()
	stageDrama[partyCall, partyResult](t, "parties", true).linear(t, 100, next, func(ops []partyHappened, victim int) bool {
		all := splitParties(ops)
		spec().Require(t, withEnd(all, victim, partyCall{Op: partyDies, Process: int8(victim)}))
		i := slices.IndexFunc(ops, func(o partyHappened) bool { return o.Out == nil && o.In.Op == partyWait })
		return i >= 0 && slices.ContainsFunc(ops, func(o partyHappened) bool {
			return o.Out != nil && o.Return > ops[i].Call && o.Out.Fate == partyFails
		})
	})
}
