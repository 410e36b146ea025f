package ring

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/internal/layout"
)

// A round of an MPMC ring: all processes put and take.
func mpmcRound(round int) (o MPMCOptions, start uint64) {
	o = MPMCOptions{Capacity: 1 + round%3, ItemSize: 8, Participants: cast}
	return o, beginnings(4)[round/3%4]
}

func (s *scene) mpmc(o MPMCOptions) []byte {
	size, err := MPMCSize(o)
	must(err)
	return s.ring[:size]
}

func putAndTake(s *scene, process int) {
	s.rounds(process, func(round int, by *scribe) {
		o, _ := mpmcRound(round)
		m, err := AttachMPMC(s.mpmc(o))
		must(err)
		for n := int64(0); !by.Full(0); {
			if rand.IntN(2) == 0 {
				many := 1 + rand.IntN(3)
				by.Do(call{Op: opMTake, N: int64(many)}, func() (res result) {
					r, ok, err := m.Take(many)
					must(err)
					if !ok {
						return res
					}
					res.Found = int64(r.Len())
					for i, v := range numbers(m, r) {
						res.Vals[i] = uint32(v)
					}
					must(m.Release(r))
					return res
				})
				continue
			}
			first, many := int64(process)*100+n, 1+rand.Int64N(3)
			got := by.Do(call{Op: opMPut, N: first, Many: many}, func() (res result) {
				r, ok, err := m.Reserve(int(many))
				must(err)
				if !ok {
					return res
				}
				for i := range r.Len() {
					copy(m.Slot(r, i), item(uint64(first)+uint64(i)))
				}
				must(m.Commit(r))
				return result{OK: true, Found: int64(r.Len())}
			})
			n += got.Found
		}
	})
}

// An mpmcState is what lies in the ring: at most its capacity of items, from the first that is not released.
type mpmcState struct {
	n     int
	items [3]struct {
		id    int64
		stage mpmcStage
	}
}

type mpmcStage uint8

const (
	stageReserved mpmcStage = iota
	stageCommitted
	stageTaken
	stageReleased
)

// taken returns how many items consumers have taken or released, from the first.
func (s *mpmcState) taken() (n int) {
	for n < s.n && s.items[n].stage >= stageTaken {
		n++
	}
	return n
}

// move takes items from one stage to the next, all of them.
func (s *mpmcState) move(ids []uint32, from mpmcStage) bool {
	for _, id := range ids {
		i := slices.IndexFunc(s.items[:s.n], func(it struct {
			id    int64
			stage mpmcStage
		}) bool {
			return it.id == int64(id) && it.stage == from
		})
		if i < 0 {
			return false
		}
		s.items[i].stage++
	}
	for s.n > 0 && s.items[0].stage == stageReleased {
		copy(s.items[:], s.items[1:])
		s.n--
		s.items[s.n] = mpmcState{}.items[0]
	}
	return true
}

// mpmcSpec is what an MPMC ring promises: slots are claimed in order, and given back in any; what is put together is there at
// once, behind what was claimed before. Puts are refused, or cut short, exactly if there is no room, and takes exactly if the first
// item is not there.
func mpmcSpec(capacity int) history.Spec[mpmcState, call, result] {
	return history.Spec[mpmcState, call, result]{Step: func(s mpmcState, in call, out *result) (mpmcState, bool) {
		first := s.taken()
		switch in.Op {
		case opMReserve:
			if out.Found < in.Many && s.n+int(out.Found) != capacity || s.n+int(out.Found) > capacity {
				return s, false
			}
			for i := range out.Found {
				s.items[s.n].id, s.items[s.n].stage = in.N+i, stageReserved
				s.n++
			}
			return s, true
		case opMCommit:
			return s, s.move(run(in.N, out.Found), stageReserved)
		case opMClaim:
			if out.Found == 0 {
				return s, first == s.n || s.items[first].stage == stageReserved
			}
			for i := range int(out.Found) {
				if first+i >= s.n || s.items[first+i].id != int64(out.Vals[i]) {
					return s, false
				}
			}
			return s, s.move(out.Vals[:out.Found], stageCommitted)
		}
		return s, s.move(out.Vals[:out.Found], stageTaken)
	}}
}

func run(first, n int64) (ids []uint32) {
	for i := range n {
		ids = append(ids, uint32(first+i))
	}
	return ids
}

// halves makes two operations of each put and take: between them others may come. The ring's state says that the one
// comes before the other.
func halves(ops []operation) (all []operation) {
	for _, o := range ops {
		one, two := o, o
		one.In.Op, two.In.Op = opMReserve, opMCommit
		if o.In.Op == opMTake {
			one.In.Op, two.In.Op = opMClaim, opMRelease
		}
		if all = append(all, one); o.Out.Found > 0 {
			all = append(all, two)
		}
	}
	return all
}

func TestMPMCLinearizable(t *testing.T) {
	p, overlaps, rounds := newScene(t).play(t, "put and take", "put and take", "put and take"), 0, history.Rounds(150)
	for round := 1; round <= rounds; round++ {
		o, start := mpmcRound(round)
		s, err := o.shape(layout.KindMPMC)
		require.NoError(t, err)
		require.NoError(t, s.format(p.mpmc(o), start))
		ops := p.round()
		overlaps += history.Overlaps(ops)
		mpmcSpec(o.Capacity).Require(t, halves(ops))
	}
	requireContended(t, overlaps, rounds)
}

// The checker finds what is wrong: two takes with their results exchanged, and a ring that is said to be larger.
func TestMPMCChecker(t *testing.T) {
	p := newScene(t).play(t, "put and take", "put and take")
	for round, exchanged, full := 1, 0, 0; exchanged < 5 || full < 5; round++ {
		o, start := mpmcRound(round)
		s, err := o.shape(layout.KindMPMC)
		require.NoError(t, err)
		require.NoError(t, s.format(p.mpmc(o), start))
		ops := p.round()
		mpmcSpec(o.Capacity).Require(t, halves(ops))
		if o.Capacity < 3 && refused(ops, opMPut) {
			mpmcSpec(o.Capacity+1).Refuse(t, halves(ops))
			full++
		}
		var takes []*operation
		for i := range ops {
			if ops[i].In.Op == opMTake && ops[i].Out.Found == 1 {
				takes = append(takes, &ops[i])
			}
		}
		if len(takes) > 1 && takes[0].Return < takes[1].Call && putBefore(ops, int64(takes[0].Out.Vals[0]), int64(takes[1].Out.Vals[0])) {
			takes[0].Out, takes[1].Out = takes[1].Out, takes[0].Out
			mpmcSpec(o.Capacity).Refuse(t, halves(ops))
			exchanged++
		}
	}
}

// putBefore reports whether one item was put before the call began by which another was: puts that overlap may be in either order.
func putBefore(ops []operation, one, other int64) bool {
	of := func(item int64) *operation {
		i := slices.IndexFunc(ops, func(o operation) bool {
			return o.In.Op == opMPut && o.In.N <= item && item < o.In.N+o.Out.Found
		})
		return &ops[i]
	}
	return of(one).Return < of(other).Call
}
