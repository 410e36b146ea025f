package semaphore_test

import "github.com/shmkit/shmkit/internal/history"

// semaphoreState is how many permits are free, which of the operations opMayTake have them for a while, and which opMayGive have
// happened: a bit for each.
type semaphoreState struct {
	free        int64
	took, given uint64
}

// semaphoreSpec is a counting semaphore. A TryAcquire fails exactly if there are too few permits, since nobody waits on its
// handle, and it is nobody's turn. An Acquire whose context ends takes nothing in the end, but may have had the permits for a
// moment: they came as the context ended, and went back.
func semaphoreSpec(capacity int64) history.Spec[semaphoreState, call, result] {
	return history.Spec[semaphoreState, call, result]{
		Init: semaphoreState{free: capacity},
		Step: func(s semaphoreState, in call, out *result) (semaphoreState, bool) {
			next, want, bit := s, result{}, uint64(1)<<in.ID
			switch in.Op {
			case opTry:
				if want.OK = s.free >= in.N; want.OK {
					next.free -= in.N
				}
			case opAcquire:
				next.free -= in.N
				want.OK = true
			case opRelease, opBury:
				next.free += in.N
			case opValue:
				want.N = s.free
			case opMayTake:
				if s.free >= in.N && s.given&bit == 0 {
					next.free -= in.N
					next.took |= bit
				}
				return next, true
			case opMayGive:
				if s.took&bit != 0 {
					next.free += in.N
				}
				next.took &^= bit // over: whether it was is all the same now
				next.given |= bit
				return next, true
			}
			return next, out == nil || *out == want && next.free >= 0 && next.free <= capacity
		},
	}
}

// splitFailures makes two operations of each Acquire that has failed or did not return. The first may happen alone: who was killed keeps
// what it has.
func splitFailures(ops []operation) (all []operation) {
	id := int64(0)
	for _, o := range ops {
		if o.In.Op == opAcquire && (o.Out == nil || !o.Out.OK) {
			o.In.Op, o.In.ID = opMayTake, id
			id++
			all = append(all, o)
			o.In.Op = opMayGive
		}
		all = append(all, o)
	}
	return all
}
