//go:build explore

package semaphore

import (
	"fmt"
	"testing"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// A gathering is a barrier in a scenario. What became of a round is the same for all who waited in it, and those are all parties if it
// has passed.
type gathering struct {
	company
	parties  int
	all      []*Barrier
	passed   map[uint64]int // by round: how many were told so
	broken   map[uint64]int
	came     []bool
	deceased func() bool // somebody has crashed, who cannot be told
}

func newGathering(w *explore.World, parties, n int) *gathering {
	mem := layout.SliceBytes(make([]uint64, BarrierSize/8))
	g := &gathering{company{make([]*explore.Process, n)}, parties, make([]*Barrier, n), map[uint64]int{}, map[uint64]int{}, make([]bool, n), never}
	for i := range g.all {
		var err error
		if i == 0 {
			g.all[i], err = NewBarrierAt(mem, parties)
		} else {
			g.all[i], err = AttachBarrier(mem)
		}
		if err != nil {
			panic(err)
		}
		g.seat(&g.all[i].table, i)
	}
	w.Share("barrier", mem[:BarrierSize-(Seats-n)*layout.Line])
	return g
}

// wait is Wait by a goroutine that looks and sleeps itself, without a context.
func (g *gathering) wait(i int) (passed bool) {
	b := g.all[i]
	a, err := b.arrive()
	w := a.word
	g.came[i] = true
	switch {
	case err == ErrBroken:
		return false
	case err != nil:
		explore.Fail("corrupted", "%v", err)
	case w.count() == b.parties-1:
		return g.told(w, nil)
	}
	for {
		explore.Forget(uint64(w), a.resets)
		if ended, err := b.fate(a); ended {
			return g.told(w, err)
		}
		ticket := b.eventcount().Announce()
		if ended, err := b.fate(a); ended {
			return g.told(w, err)
		}
		b.eventcount().Sleep(ticket, Step)
	}
}

// told notes what a process was told of the round in which it waited.
func (g *gathering) told(w barrierWord, err error) (passed bool) {
	if err != nil && err != ErrBroken {
		explore.Fail("corrupted", "%v", err)
	}
	if err == nil {
		g.passed[w.round()]++
	} else {
		g.broken[w.round()]++
	}
	return err == nil
}

// verify is for the end. A party that crashed was told nothing.
func (g *gathering) verify() error {
	for r, n := range g.passed {
		if g.broken[r] > 0 {
			return fmt.Errorf("disagree: round %#x has passed for %d and broken for %d", r, n, g.broken[r])
		}
		if n > g.parties || n < g.parties && !g.deceased() {
			return fmt.Errorf("disagree: round %#x has passed for %d of %d parties", r, n, g.parties)
		}
	}
	return nil
}

// Two come three times, and the second round is another's for one that wakes late.
func TestExploreBarrier(t *testing.T) {
	for _, tt := range []struct {
		parties, delays, rounds int
	}{{2, 0, 2}, {2, 3, 3}, {3, 2, 2}} {
		t.Run(fmt.Sprint(tt.parties, " parties, ", tt.rounds, " rounds"), func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: fmt.Sprint("semaphore.Barrier, ", tt.parties, tt.rounds), Delays: tt.delays, Walks: 300, New: func(w *explore.World) {
				g := newGathering(w, tt.parties, tt.parties)
				for i := range tt.parties {
					g.procs[i] = w.Go(fmt.Sprint("party", i), func() {
						for range tt.rounds {
							if !g.wait(i) {
								explore.Fail("broken", "by nobody")
							}
						}
					})
				}
				w.Check(func() error {
					if len(g.passed) != tt.rounds {
						return fmt.Errorf("disagree: %d rounds have passed: %v", len(g.passed), g.passed)
					}
					return g.verify()
				})
			}})
		})
	}
}

// Two wait twice each, while one breaks the barrier and two reset it: whoever is told late, when the barrier is whole again
// and further, is told what the other is.
func TestExploreBarrierReset(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Barrier, reset", Delays: 2, Walks: 500, New: func(w *explore.World) {
		g := newGathering(w, 2, 4)
		// Who has broken it at the last lets nobody wait for ever.
		for i := range 2 {
			g.procs[i] = w.Go(fmt.Sprint("party", i), func() { g.wait(i); g.wait(i) })
		}
		g.procs[2] = w.Go("breaker", func() {
			g.all[2].Abort()
			g.all[2].Reset()
			explore.Until(g.procs[3].Gone)
			g.all[2].Abort()
		})
		g.procs[3] = w.Go("other", func() { g.all[3].Reset() })
		w.Check(g.verify)
	}})
}

// One crashes in Wait, or before, and another buries it: who waits does not wait for it.
func TestExploreBarrierCrash(t *testing.T) {
	for _, buriers := range []int{1, 2} {
		t.Run(fmt.Sprint(buriers, " bury"), func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: fmt.Sprint("semaphore.Barrier, crash, ", buriers), Delays: 4 - buriers, Crashes: 1, Walks: 500, New: func(w *explore.World) {
				g := newGathering(w, 3, 2+buriers)
				mortal := w.GoMortal("mortal", func() { g.wait(0) })
				g.procs[0], g.deceased = mortal, mortal.Crashed
				g.procs[1] = w.Go("party", func() { g.wait(1) })
				for i := 2; i < 2+buriers; i++ {
					g.procs[i] = w.Go(fmt.Sprint("burier", i), func() {
						explore.Until(func() bool { return mortal.Gone() || g.came[0] && g.came[1] })
						if !mortal.Gone() && i == 2 {
							g.wait(i) // the last party
						} else if explore.Until(mortal.Gone); mortal.Crashed() {
							g.bury(i)
						}
					})
				}
				w.Check(g.verify)
			}})
		})
	}
}

// bury buries number 0, and breaks the barrier for number 1 if that one waits for who never came.
func (g *gathering) bury(i int) {
	b := g.all[i]
	b.table.recover()
	explore.Until(func() bool { return g.came[1] || g.procs[1].Gone() })
	if b.Waiting() == 1 {
		b.Abort()
	}
}

// Several do it, of whom some fail or crash: never two at a time, and nobody after one has succeeded.
func TestExploreOnce(t *testing.T) {
	for _, crashes := range []int{0, 1} {
		t.Run(fmt.Sprint(crashes, " crash"), func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: fmt.Sprint("semaphore.Once, ", crashes), Crashes: crashes, Delays: 3, Walks: 300, New: func(w *explore.World) {
				const n = 3
				mem := layout.SliceBytes(make([]uint64, OnceSize/8))
				c := company{make([]*explore.Process, n)}
				all, doing, done := make([]*Once, n), make([]bool, n), 0
				for i := range all {
					var err error
					if i == 0 {
						all[i], err = NewOnceAt(mem)
					} else {
						all[i], err = AttachOnce(mem)
					}
					if err != nil {
						panic(err)
					}
					all[i].id, all[i].vigil.alive = owner.ID(1000+i), c.alive
					all[i].vigil.onEnd = func(owner.ID, func()) (func(), error) { return func() {}, ErrCorrupted }
				}
				w.Share("once", mem)
				// f fails for the first process and succeeds for the others.
				f := func(i int) error {
					for k, is := range doing {
						if is && (c.procs[k] == nil || !c.procs[k].Crashed()) || done > 0 {
							explore.Fail("done twice", "by %d and by %d, %d times done", k, i, done)
						}
					}
					doing[i] = true
					explore.Step()
					doing[i] = false
					if i == 0 {
						return ErrBroken
					}
					return nil
				}
				do := func(i int) {
					o := all[i]
					try := func() bool {
						o.vigil.others = nil // it asks each time whether the other lives
						mine, is, err := o.try()
						if err != nil {
							explore.Fail("corrupted", "%v", err)
						}
						if mine {
							err := f(i)
							if err == nil {
								o.end(onceDone)
							} else {
								o.end(0)
							}
						}
						return mine || is
					}
					for !try() {
						explore.Forget()
						ticket := o.changed().Announce()
						if try() {
							return
						}
						o.changed().Sleep(ticket, Step)
					}
				}
				for i := range n {
					name, body := fmt.Sprint("process", i), func() { do(i) }
					if i == 1 && crashes > 0 {
						c.procs[i] = w.GoMortal(name, body)
					} else {
						c.procs[i] = w.Go(name, body)
					}
				}
				w.Check(func() error {
					if !all[0].Done() {
						return fmt.Errorf("not done")
					}
					return nil
				})
			}})
		})
	}
}
