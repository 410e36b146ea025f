//go:build explore

package semaphore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/explore"
)

// inTurns makes handles of processes on a semaphore for which the next turn is due as soon as permits were taken that somebody waits for.
func inTurns(w *explore.World, permits int64, n int) (*crypt, []*Semaphore) {
	all, c := handles(w, permits, 0, n), newCrypt(w, n)
	all[0].body.turn.Store((maxPassed - 1) << passedShift)
	for _, s := range all {
		c.watch(&s.turns.vigil)
	}
	w.Tick(time.Millisecond)
	return c, all
}

// untaken is for the end.
func untaken(s *Semaphore) error {
	if v := s.Value(); v != s.capacity {
		return fmt.Errorf("%d of %d permits are free at the end", v, s.capacity)
	}
	return nil
}

// Processes use it, and sleep until they are told.
func TestExploreTurns(t *testing.T) {
	for _, tt := range []struct {
		name    string
		permits int64
		takes   []int64
		uses    []int
		delays  int
	}{
		{"two", 1, []int64{1, 1}, []int{3, 1}, 3},
		{"three", 1, []int64{1, 1, 1}, []int{2, 1, 1}, 2},
		{"one asks for all", 2, []int64{1, 2}, []int{3, 1}, 3},
		{"one of three asks for all", 2, []int64{1, 1, 2}, []int{2, 1, 1}, 2},
		{"two of three ask for all", 2, []int64{1, 2, 2}, []int{2, 1, 1}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, turns, " + tt.name, Delays: tt.delays, Walks: 300, New: func(w *explore.World) {
				_, all := inTurns(w, tt.permits, len(tt.takes))
				unbounded(all)
				for i, n := range tt.takes {
					w.Go(fmt.Sprint("process", i), func() {
						for range tt.uses[i] {
							acquire(all[i], n)
							all[i].Release(n)
						}
					})
				}
				w.Check(func() error { return untaken(all[0]) })
			}})
		})
	}
}

// Three keep what they get. So nobody is told by a Release who was not told of a turn.
func TestExploreTurnsKept(t *testing.T) {
	for name, first := range map[string]int64{"one by one": 1, "two first": 2, "all at once": 3} {
		t.Run(name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, turns, kept, " + name, Delays: 2, Walks: 300, New: func(w *explore.World) {
				_, all := inTurns(w, 3, 4)
				all[3].body.free.Store(0)
				unbounded(all)
				var those []*explore.Process
				for i, s := range all[:3] {
					those = append(those, w.Go(fmt.Sprint("process", i), func() { acquire(s, 1) }))
				}
				w.Go("releaser", func() {
					for released := int64(0); released < 3; {
						explore.Until(func() bool { return gone(those) >= int(released) })
						n := min(first, 3-released)
						released += n
						all[3].Release(n)
					}
				})
				w.Check(func() error {
					if v := all[0].Value(); v != 0 {
						return fmt.Errorf("%d permits are left", v)
					}
					return nil
				})
			}})
		})
	}
}

// gone is how many of those have ended.
func gone(those []*explore.Process) (n int) {
	for _, p := range those {
		if p.Gone() {
			n++
		}
	}
	return n
}

// One crashes, perhaps with permits, with a claim, or in its turn. The others, of whom one takes both permits if they are there, go on, and each
// respects a turn until it is told of the end of who had it.
func TestExploreTurnsCrash(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, turns, crash", Crashes: 1, Delays: 2, Walks: 500, New: func(w *explore.World) {
		c, all := inTurns(w, 3, 3)
		for i, n := range []int64{1, 1, 2} {
			body := func() {
				acquire(all[i], n)
				all[i].Release(n)
			}
			if i == 1 {
				c.procs[i] = w.GoMortal("mortal", body)
			} else {
				c.procs[i] = w.Go(fmt.Sprint("process", i), func() { body(); body() })
			}
		}
		c.kernel(w, c.procs[1], func() {})
	}})
}

// One that has the turn does not wait any more: its context has ended, or it is stopped, which others see after a while.
func TestExploreTurnsLeave(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, turns, a waiter leaves", Delays: 3, Walks: 300, New: func(w *explore.World) {
		_, all := inTurns(w, 2, 3)
		unbounded(all)
		ctx, end := context.WithCancel(context.Background())
		first := enqueue(all[0], 2)
		w.Go("first", func() {
			if all[0].queue.serve(ctx, first); first.served {
				all[0].Release(2)
			} else {
				all[0].turns.withdraw()
			}
		})
		w.Go("its context", func() { end(); all[0].queue.leave(first) })
		for _, s := range all[1:] {
			w.Go("another", func() {
				acquire(s, 1)
				s.Release(1)
				acquire(s, 2)
				s.Release(2)
			})
		}
		w.Check(func() error { return untaken(all[0]) })
	}})
}

// One that is stopped, or gone without a trace, in its turn is passed over.
func TestExploreTurnOfTheStopped(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, turns, one is stopped", Delays: 3, Walks: 300, Timeouts: explore.WhenIdle, New: func(w *explore.World) {
		_, all := inTurns(w, 1, 3)
		all[2].body.claim.word[4].Store(1002)
		all[2].body.turn.Store(claimed | 5)
		for i, s := range all[:2] {
			s.turns.keeps = 2 * time.Millisecond
			w.Go(fmt.Sprint("process", i), func() {
				acquire(s, 1)
				s.Release(1)
			})
		}
		w.Check(func() error { return untaken(all[0]) })
	}})
}
