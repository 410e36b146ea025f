//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
)

// As long as nobody dies a robust semaphore is what a plain one is.
func TestRobustLinearizable(t *testing.T) {
	s := newScene(t, false)
	s.robust = true
	overlaps, rounds := 0, history.Rounds(200)
	for round := 1; round <= rounds; round++ {
		ops := s.round(t, round)
		overlaps += history.Overlaps(ops)
		semaphoreSpec(capacityOf(round)).Require(t, splitFailures(ops))
	}
	require.Greater(t, overlaps, rounds, "what does not overlap shows nothing")
}

// What a process has that is killed comes back, all of it and once: some of it may have come back by the Release in which it was killed.
func TestRobustLinearizableWithDeaths(t *testing.T) {
	s := newScene(t, true)
	s.robust = true
	unfinished, buried, rounds := 0, 0, history.Rounds(80)
	for round := 1; round <= rounds || unfinished == 0 || buried == 0; round++ {
		ops, capacity := s.round(t, round), capacityOf(round)
		all, pending, had := burials(ops, victimOf(round))
		semaphoreSpec(capacity).Require(t, splitFailures(all))
		if had > 0 {
			// Without the burial it cannot be explained; nor with one of more than it had, if that is certain.
			buried++
			semaphoreSpec(capacity).Refuse(t, splitFailures(all[:len(all)-1]))
			if all[len(all)-1].In.N++; !pending {
				semaphoreSpec(capacity).Refuse(t, splitFailures(all))
			}
		}
		if pending {
			unfinished++
		}
	}
	t.Logf("%d of %d were killed within an operation, %d with permits", unfinished, rounds, buried)
}

// burials adds, as the last, what others do for the victim: it gives back had permits. pending says that it was killed within an operation.
// One that was taking permits may have had them for a while.
func burials(ops []operation, victim int) (all []operation, pending bool, had int64) {
	last := int64(0)
	for _, o := range ops {
		if o.Process != victim {
			all = append(all, o)
			continue
		}
		switch {
		case o.Out == nil:
			pending = true
			if o.In.Op == opTry {
				o.In.Op = opAcquire
			}
			if o.In.Op == opRelease {
				had -= o.In.N
			}
		case o.In.Op == opRelease:
			had -= o.In.N
		case o.Out.OK:
			had += o.In.N
		}
		if o.Out != nil {
			last = o.Return
		}
		all = append(all, o)
	}
	if had > 0 {
		all = append(all, operation{Process: users + 1, Call: last, Return: history.Never, In: call{Op: opBury, N: had}})
	}
	return all, pending, had
}
