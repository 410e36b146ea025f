package ring

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
)

const recordSize = 8

// A spscRound is what both processes know of a round of an SPSC ring.
type spscRound struct {
	storage int
	most    int   // records that are committed together
	full    int64 // records that fit; of batches it is not known
	start   uint64
}

// spscRoundOf has rings of three single records, whose room is known exactly, and of batches in which records share a header.
func spscRoundOf(round int) spscRound {
	start := []uint64{0, math.MaxUint64 - 63, 1<<32 - 32}[round/4%3]
	if round/2%2 == 0 { // either process dies in both
		return spscRound{storage: 64, most: 1, full: 3, start: start}
	}
	return spscRound{storage: 128, most: 3, start: start}
}

func (s *scene) spsc(r spscRound) []byte { return s.ring[:storageOff+r.storage] }

func produceRecords(s *scene, process int) {
	s.rounds(process, func(round int, by *scribe) {
		r := spscRoundOf(round)
		p, err := AttachProducer(s.spsc(r))
		must(err)
		for n := int64(0); !by.Full(0); {
			many := 1 + rand.Int64N(int64(r.most))
			got := by.Do(call{Op: opPut, N: n, Many: many}, func() result { return result{OK: putBatch(p, n, int(many))} })
			if got.OK {
				n += many
			}
		}
	})
}

// putBatch commits many records, or none.
func putBatch(p *Producer, first int64, many int) bool {
	if many == 1 {
		var b [recordSize]byte
		encode(b[:], first)
		ok, err := p.TryPut(b[:])
		must(err)
		return ok
	}
	b, ok, err := p.ReserveRun(many, recordSize)
	must(err)
	if ok {
		for k := range many {
			encode(b[k*recordSize:], first+int64(k))
		}
		p.Commit()
	}
	return ok
}

// encode fills a record with a value, all of its bytes.
func encode(b []byte, n int64) {
	v := value(n)
	for i := range recordSize {
		b[i] = byte(v >> (i % 4 * 8))
	}
}

func decode(b []byte) (v uint32) {
	for i := range 4 {
		v |= uint32(b[i]) << (i * 8)
		if b[i] != b[i+4] {
			panic("half a record")
		}
	}
	return v
}

func consumeRecords(s *scene, process int) {
	s.rounds(process, func(round int, by *scribe) {
		c, err := AttachConsumer(s.spsc(spscRoundOf(round)))
		must(err)
		for !by.Full(0) {
			switch rand.IntN(6) {
			case 0:
				by.Do(call{Op: opPeekRun}, func() result { return peekRun(c) })
			case 1, 2:
				by.Do(call{Op: opRelease}, func() result { c.Release(); return result{} })
			default:
				by.Do(call{Op: opPeek}, func() result { return peekOne(c) })
			}
		}
	})
}

func peekOne(c *Consumer) (res result) {
	b, ok, err := c.Peek()
	must(err)
	if ok {
		res.Found, res.Vals[0] = 1, decode(b)
	}
	return res
}

func peekRun(c *Consumer) (res result) {
	b, size, ok, err := c.PeekRun()
	must(err)
	if ok {
		res.Found = int64(len(b) / size)
		for k := range res.Found {
			res.Vals[k] = decode(b[k*recordSize:])
		}
	}
	return res
}

// spscState counts what was ever published, peeked and released.
type spscState struct {
	tail, at, head int64
	succeeded      bool // the test has taken the place of the consumer
}

// spscSpec is what an SPSC ring promises: a queue in which what is committed together comes at once, and of which what was peeked
// and not released comes again to a successor. A lone record is refused exactly if there is no room; a batch, of
// which the ring can hold one at least, only if there is anything in the ring.
func spscSpec(r spscRound) history.Spec[spscState, call, result] {
	return history.Spec[spscState, call, result]{Step: func(s spscState, in call, out *result) (spscState, bool) {
		if out == nil {
			return spscPending(s, in, r), true
		}
		switch in.Op {
		case opPut:
			if !out.OK {
				return s, r.most == 1 && s.tail-s.head == r.full || r.most > 1 && s.tail > s.head
			}
			s.tail += in.Many
			return s, fits(s, r)
		case opPeek, opPeekRun:
			first := s.at
			s.at += out.Found
			return s, s.at <= s.tail && out.Vals == values(first, out.Found) && (out.Found > 0 || first == s.tail)
		case opRelease:
			s.head = s.at
		case opAttach: // begins with what was not released
			s.succeeded = true
			s.at = s.head + out.Found
			return s, s.at <= s.tail && out.Vals == values(s.head, out.Found) && (out.Found == 1 || s.head == s.tail)
		}
		return s, true
	}}
}

// fits reports whether the ring can hold what it is said to: records, at least one header, the 0 behind them.
func fits(s spscState, r spscRound) bool {
	held := s.tail - s.head
	if r.most == 1 {
		return held <= r.full
	}
	return held*recordSize+2*wordSize <= int64(r.storage)
}

// spscPending is what an operation does that did not return.
func spscPending(s spscState, in call, r spscRound) spscState {
	switch in.Op {
	case opPut:
		if next := s; fits(next, r) {
			next.tail += in.Many
			return next
		}
	case opMayDrop:
		if s.head < s.at && !s.succeeded {
			s.head++
		}
	}
	return s // what was peeked is known to the dead alone
}

// splitRelease makes operations of their own of the records of a Release that did not return: it goes in steps if the records are of
// several runs, and each may have happened.
func splitRelease(ops []operation) (all []operation) {
	held := int64(0)
	for _, o := range ops {
		switch {
		case o.In.Op == opRelease && o.Out == nil:
			o.In.Op = opMayDrop
			all = append(all, slices.Repeat([]operation{o}, int(held))...)
			continue
		case o.In.Op == opRelease:
			held = 0
		case (o.In.Op == opPeek || o.In.Op == opPeekRun) && o.Out != nil:
			held += o.Out.Found
		}
		all = append(all, o)
	}
	return all
}

func TestSPSCLinearizable(t *testing.T) {
	p, overlaps, rounds := newScene(t).play(t, "produce", "consume"), 0, history.Rounds(200)
	for round := 1; round <= rounds; round++ {
		r := spscRoundOf(round)
		require.NoError(t, initSPSC(p.spsc(r), r.start))
		ops := p.round()
		overlaps += history.Overlaps(ops)
		spscSpec(r).Require(t, ops)
	}
	requireContended(t, overlaps, rounds)
}

// A batch whose producer was killed is there or not, as a whole; what the consumer that was killed had not released comes again.
func TestSPSCLinearizableWithDeaths(t *testing.T) {
	p, unfinished, rounds := newScene(t).play(t, "produce or die", "consume or die"), 0, history.Rounds(50)
	for round := 1; round <= rounds || unfinished == 0; round++ {
		r := spscRoundOf(round)
		require.NoError(t, initSPSC(p.spsc(r), r.start))
		p.fatalRound(t)
		p.drain(r)
		ops := p.book.Operations()
		unfinished += pending(ops)
		spscSpec(r).Require(t, splitRelease(ops))
	}
	t.Logf("%d of %d were killed within an operation", unfinished, rounds)
}

// drain takes what is left, in the place of the consumer.
func (p *play) drain(r spscRound) {
	c, by := (*Consumer)(nil), p.book.Scribe(test)
	left := by.Do(call{Op: opAttach}, func() result {
		var err error
		c, err = AttachConsumer(p.spsc(r))
		must(err)
		return peekOne(c)
	})
	for left.Found > 0 {
		left = by.Do(call{Op: opPeek}, func() result { return peekOne(c) })
	}
}

// The checker finds what is wrong: a ring that is said to be larger than it is, and a history with two results exchanged.
func TestSPSCChecker(t *testing.T) {
	p := newScene(t).play(t, "produce", "consume")
	full, exchanged := 0, 0
	for round := 1; full == 0 || exchanged < 5; round++ {
		r := spscRoundOf(round)
		require.NoError(t, initSPSC(p.spsc(r), r.start))
		ops := p.round()
		spscSpec(r).Require(t, ops)
		if r.most == 1 && refused(ops, opPut) {
			larger := r
			larger.full += script
			spscSpec(larger).Refuse(t, ops)
			full++
		}
		if first, second := twoPeeks(ops); second != nil {
			*first.Out, *second.Out = *second.Out, *first.Out
			spscSpec(r).Refuse(t, ops)
			exchanged++
		}
	}
}

// twoPeeks returns two that have found something.
func twoPeeks(ops []operation) (first, second *operation) {
	for i := range ops {
		o := &ops[i]
		switch {
		case o.In.Op != opPeek || o.Out.Found == 0:
		case first == nil:
			first = o
		default:
			return first, o
		}
	}
	return nil, nil
}
