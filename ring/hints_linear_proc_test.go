package ring

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/shmkit/shmkit/internal/history"
)

// A hintsRound is what all processes know of a round of Hints.
type hintsRound struct {
	capacity int
	start    uint64
}

func hintsRoundOf(round int) hintsRound {
	all := []uint64{0, math.MaxUint32 - 3, math.MaxUint64 - 5}
	return hintsRound{capacity: 1 + round%3, start: all[round/3%len(all)]}
}

func (s *scene) hints(r hintsRound) *Hints {
	h, err := OpenHints(s.ring, r.capacity)
	must(err)
	return h
}

func pushHints(s *scene, process int) {
	s.rounds(process, func(round int, by *scribe) {
		r := hintsRoundOf(round)
		p := s.hints(r).Producer(r.start)
		for n := int64(0); !by.Full(0); {
			got := by.Do(call{Op: opPush, N: n}, func() result {
				pos, ok := p.TryPush(value(n))
				if !ok {
					return result{}
				}
				return result{OK: true, Pos: pos - r.start}
			})
			if got.OK {
				n++
			}
		}
	})
}

func popHints(s *scene, process int) {
	s.rounds(process, func(round int, by *scribe) {
		r := hintsRoundOf(round)
		h := s.hints(r)
		for !by.Full(1) { // two operations a turn at most
			switch rand.IntN(8) {
			case 0:
				by.Do(call{Op: opEmpty}, func() result { return result{OK: h.Empty()} })
			case 1:
				by.Do(call{Op: opHead}, func() result { return result{Pos: h.Head() - r.start} })
			case 2, 3, 4:
				popBatch(h, r, by)
			default:
				popOne(h, by)
			}
		}
	})
}

func popOne(h *Hints, by *scribe) result {
	return by.Do(call{Op: opPop}, func() result {
		v, ok := h.TryPop()
		return result{OK: ok, Vals: [3]uint32{v}}
	})
}

func popBatch(h *Hints, r hintsRound, by *scribe) {
	most := rand.IntN(3) + 1
	got := by.Do(call{Op: opCells, N: int64(most)}, func() (res result) {
		pos, n := h.Peek(res.Vals[:most])
		res.Pos, res.Found = pos-r.start, int64(n)
		return res
	})
	if got.Found > 0 {
		by.Do(call{Op: opTake, Pos: got.Pos, N: got.Found}, func() result {
			return result{OK: h.Take(got.Pos+r.start, int(got.Found))}
		})
	}
}

func nextHints(s *scene, process int) {
	s.rounds(process, func(round int, by *scribe) {
		r := hintsRoundOf(round)
		c := s.hints(r).Consumer(r.start)
		for !by.Full(0) {
			if rand.IntN(3) == 0 {
				by.Do(call{Op: opDrop}, func() result { c.Drop(); return result{} })
				continue
			}
			most := rand.IntN(3) + 1
			by.Do(call{Op: opNext, N: int64(most)}, func() (res result) {
				res.Found = int64(c.Next(res.Vals[:most]))
				return res
			})
		}
	})
}

// hintsState counts what was ever put into the ring, what was taken, and what the only consumer has read.
type hintsState struct{ tail, head, read int64 }

// hintsSpec is what Hints promise one by one: a bounded queue, each operation of which takes effect at one moment. Only Peek does not:
// it looks at head, and later at cells, which by then may be taken, and written again. So it is two operations, of which the
// second finds no more than was ever pushed, and ends before what is not pushed yet or no longer there. Take at that position
// succeeds exactly if nobody else has taken meanwhile.
func hintsSpec(capacity int) history.Spec[hintsState, call, result] {
	room := int64(storage(capacity))
	return history.Spec[hintsState, call, result]{Step: func(s hintsState, in call, out *result) (hintsState, bool) {
		next, want := s, result{}
		switch in.Op {
		case opPush:
			if want.OK = s.tail-s.head < int64(capacity); want.OK {
				want.Pos = uint64(s.tail)
				next.tail++
			}
		case opPop:
			if want.OK = s.head < s.tail; want.OK {
				want.Vals[0] = value(s.head)
				next.head++
			}
		case opHead:
			want.Pos = uint64(s.head)
		case opTake:
			if want.OK = int64(in.Pos) == s.head; want.OK {
				next.head += in.N
			}
		case opEmpty:
			want.OK = s.head == s.tail
		case opCells:
			return s, out == nil || cellsRight(s, in, *out, room)
		case opNext:
			next.read += min(in.N, s.tail-s.read)
			want.Found = next.read - s.read
			want.Vals = values(s.read, want.Found)
		case opDrop:
			next.head = s.read
		}
		return next, out == nil || *out == want && next.head <= next.tail
	}}
}

// cellsRight reports whether what Peek has found in the cells behind a position can be.
func cellsRight(s hintsState, in call, out result, room int64) bool {
	end := int64(out.Pos) + out.Found
	missing := end >= s.tail || s.tail > end+room // not there yet, or overwritten
	return end <= s.tail && out.Vals == values(int64(out.Pos), out.Found) && (out.Found == in.N || missing)
}

// splitPeeks makes the two operations of each Peek.
func splitPeeks(ops []operation) (all []operation) {
	for _, o := range ops {
		all = append(all, o)
		if o.In.Op == opCells && o.Out != nil {
			o.In, o.Out = call{Op: opHead}, &result{Pos: o.Out.Pos}
			all = append(all, o)
		}
	}
	return all
}

func TestHintsLinearizable(t *testing.T) {
	for name, parts := range map[string][]string{
		"2 consumers":   {"push", "pop", "pop"},
		"3 consumers":   {"push", "pop", "pop", "pop"},
		"only consumer": {"push", "next"},
	} {
		t.Run(name, func(t *testing.T) {
			p, overlaps, rounds := newScene(t).play(t, parts...), 0, history.Rounds(100)
			for round := 1; round <= rounds; round++ {
				r := hintsRoundOf(round)
				p.hints(r).Reset(r.start)
				ops := p.round()
				overlaps += history.Overlaps(ops)
				hintsSpec(r.capacity).Require(t, splitPeeks(ops))
			}
			requireContended(t, overlaps, rounds)
		})
	}
}

// A process that is killed leaves its operation done or not done, and the ring to the others: nothing else is lost, and nothing
// comes twice.
func TestHintsLinearizableWithDeaths(t *testing.T) {
	p, unfinished, rounds := newScene(t).play(t, "push or die", "pop or die", "pop or die"), 0, history.Rounds(50)
	for round := 1; round <= rounds || unfinished == 0; round++ {
		r := hintsRoundOf(round)
		h := p.hints(r)
		h.Reset(r.start)
		p.fatalRound(t)
		for by := p.book.Scribe(test); popOne(h, by).OK; { // what is left
		}
		ops := p.book.Operations()
		unfinished += pending(ops)
		hintsSpec(r.capacity).Require(t, splitPeeks(ops))
	}
	t.Logf("%d of %d were killed within an operation", unfinished, rounds)
}

// The checker finds what is wrong: a specification that is, and a history with two results exchanged.
func TestHintsChecker(t *testing.T) {
	p := newScene(t).play(t, "push", "pop", "pop")
	full, exchanged := 0, 0
	for round := 1; full == 0 || exchanged < 5; round++ {
		r := hintsRoundOf(round)
		p.hints(r).Reset(r.start)
		ops := splitPeeks(p.round())
		hintsSpec(r.capacity).Require(t, ops)
		if refused(ops, opPush) {
			hintsSpec(r.capacity+script).Refuse(t, ops)
			full++
		}
		if first, second := twoPops(ops); second != nil {
			*first.Out, *second.Out = *second.Out, *first.Out
			hintsSpec(r.capacity).Refuse(t, ops)
			exchanged++
		}
	}
}

// twoPops returns two that have taken something, one after the other.
func twoPops(ops []operation) (first, second *operation) {
	for i := range ops {
		o := &ops[i]
		switch {
		case o.In.Op != opPop || !o.Out.OK:
		case first == nil:
			first = o
		case o.Call > first.Return:
			return first, o
		}
	}
	return nil, nil
}
