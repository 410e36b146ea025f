//go:build explore

package semaphore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// What these scenarios are for, and how they are run, says package explore.

// A till is some tokens in shared memory, and the eventcount of those who wait for one.
type till struct {
	ec     Eventcount
	tokens *atomic.Int64
}

func newTill(w *explore.World) till {
	mem := layout.SliceBytes(make([]uint64, 8))
	w.Share("till", mem)
	ec, err := EventcountAt(mem)
	if err != nil {
		panic(err)
	}
	return till{ec, layout.MustAt[atomic.Int64](mem, 8)}
}

func (t till) take() bool {
	for {
		n := t.tokens.Load()
		if n == 0 {
			return false
		}
		if t.tokens.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// wait takes a token as the eventcount's documentation says; hopeless is asked whether there may be none any more.
func (t till) wait(hopeless func() bool) (ok bool) {
	for {
		explore.Forget()
		if t.take() {
			return true
		}
		ticket := t.ec.Announce()
		if t.take() {
			return true
		}
		if hopeless() {
			explore.Observe(1)
			return false
		}
		t.ec.Sleep(ticket, Step)
	}
}

func never() bool { return false }

// Two wait for a token each, one gives two: each wakes one, or one wakes all.
func TestExploreEventcount(t *testing.T) {
	for name, give := range map[string]func(till){
		"one by one": func(t till) {
			for range 2 {
				t.tokens.Add(1)
				t.ec.Notify(1)
			}
		},
		"all at once": func(t till) {
			t.tokens.Add(2)
			t.ec.NotifyAll()
		},
		"two at once": func(t till) {
			t.tokens.Add(2)
			t.ec.Notify(2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Eventcount, " + name, Walks: 300, New: func(w *explore.World) {
				t := newTill(w)
				w.Go("waker", func() { give(t) })
				for i := range 2 {
					w.Go(fmt.Sprint("waiter", i), func() { t.wait(never) })
				}
				w.Check(func() error { return none(t) })
			}})
		})
	}
}

func none(t till) error {
	if n := t.tokens.Load(); n != 0 {
		return fmt.Errorf("%d tokens are left", n)
	}
	return nil
}

// Two wakers and one who waits for both, so that a waker finds the other at each of its steps.
func TestExploreTwoWakers(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Eventcount, two wakers", Walks: 300, New: func(w *explore.World) {
		t := newTill(w)
		w.Go("notifies one", func() { t.tokens.Add(1); t.ec.Notify(1) })
		w.Go("notifies all", func() { t.tokens.Add(1); t.ec.NotifyAll() })
		w.Go("waiter", func() { t.wait(never); t.wait(never) })
		w.Check(func() error { return none(t) })
	}})
}

// A waiter crashes, perhaps with the wake-up that was meant for one of two; or the waker does, perhaps before it has woken anybody.
// Who is left looks for itself after its step.
func TestExploreEventcountCrashes(t *testing.T) {
	t.Run("waiter", func(t *testing.T) {
		explore.Run(t, explore.Scenario{Name: "semaphore.Eventcount, waiter crashes", Crashes: 1, New: func(w *explore.World) {
			t := newTill(w)
			w.GoMortal("mortal", func() { t.wait(never) })
			w.Go("waiter", func() { t.wait(never) })
			w.Go("waker", func() {
				for range 2 {
					t.tokens.Add(1)
					t.ec.Notify(1)
				}
			})
		}})
	})
	t.Run("waker", func(t *testing.T) {
		explore.Run(t, explore.Scenario{Name: "semaphore.Eventcount, waker crashes", Crashes: 1, New: func(w *explore.World) {
			t := newTill(w)
			waker := w.GoMortal("waker", func() {
				t.tokens.Add(2)
				t.ec.NotifyAll()
			})
			for i := range 2 {
				w.Go(fmt.Sprint("waiter", i), func() { t.wait(waker.Crashed) })
			}
			w.Check(func() error {
				if waker.Crashed() {
					return nil
				}
				return none(t)
			})
		}})
	})
}

// handles makes a semaphore with permits of which taken are taken, and handles on it: each is a process's own. All sleep alone.
func handles(w *explore.World, permits, taken int64, n int) []*Semaphore {
	sleeping = &sleepers{alone: math.MaxInt64}
	mem := layout.SliceBytes(make([]uint64, Size/8))
	all := make([]*Semaphore, n)
	first, err := NewAt(mem, permits)
	if err != nil {
		panic(err)
	}
	all[0] = first
	for i := range all {
		if i > 0 {
			if all[i], err = Attach(mem); err != nil {
				panic(err)
			}
		}
		all[i].queue.bits = 1 << i
		all[i].turns.inScenario(i)
	}
	all[0].body.free.Store(permits - taken)
	w.Share("semaphore", mem)
	return all
}

// inScenario makes t that of process i, which respects others' turns for ever and is told of nobody's end.
func (t *turns) inScenario(i int) {
	t.id, t.keeps = owner.ID(1000+i), math.MaxInt64
	t.vigil.alive = func(owner.ID) bool { return true }
	t.vigil.onEnd = func(owner.ID, func()) (func(), error) { return func() {}, nil }
}

// acquire is Acquire, which has to succeed.
func acquire(s *Semaphore, n int64) {
	if err := s.Acquire(context.Background(), n); err != nil {
		explore.Fail("not served", "%v", err)
	}
}

// enqueue joins the queue of a handle. The caller sees to it that the first to join serves.
func enqueue(s *Semaphore, n int64) *waiter {
	w := &waiter{on: s.eventcount(n), try: func() bool {
		ok, err := s.try(n)
		if err != nil {
			explore.Fail("corrupted", "%v", err)
		}
		return ok
	}}
	s.queue.join(w)
	return w
}

// inGroups has all who wait on Waitqueues sleep in one group, whose thread is a process of its own: as long as one of these is there.
func inGroups(w *explore.World, those ...*explore.Process) {
	sleeping = &sleepers{canGroup: func() bool { return true }}
	g := &group{mu: &sleeping.mu}
	sleeping.groups = []*group{g}
	w.Share("bell", layout.Bytes(&g.bell))
	over := func() bool {
		return !slices.ContainsFunc(those, func(p *explore.Process) bool { return !p.Gone() })
	}
	w.Go("group", func() {
		for {
			explore.Until(func() bool { return g.running || over() })
			if !g.running {
				return
			}
			g.run()
		}
	})
}

// unbounded has the waiters of handles sleep until they are woken.
func unbounded(all []*Semaphore) []*Semaphore {
	for _, s := range all {
		s.queue.step = -1
	}
	return all
}

// Three processes hold something at most two, or one, at a time.
func TestExploreSemaphore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		permits int64
		takes   []int64
		delays  int
	}{
		{"mutex of two", 1, []int64{1, 1}, 0},
		{"mutex of three", 1, []int64{1, 1, 1}, 2},
		{"two of three", 2, []int64{1, 1, 1}, 2},
		{"one asks for all", 2, []int64{2, 1}, 0},
		{"two ask for all", 2, []int64{2, 2, 1}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, " + tt.name, Delays: tt.delays, Walks: 300, New: func(w *explore.World) {
				all := handles(w, tt.permits, 0, len(tt.takes))
				held := int64(0) // what a process holds is told by where it stands
				for i, n := range tt.takes {
					w.Go(fmt.Sprintf("process%d", i), func() {
						acquire(all[i], n)
						if held += n; held > tt.permits {
							explore.Fail("too many", "%d of %d permits are held", held, tt.permits)
						}
						explore.Step()
						held -= n
						all[i].Release(n)
					})
				}
				w.Check(func() error {
					if v := all[0].Value(); v != tt.permits {
						return fmt.Errorf("%d of %d permits are free at the end", v, tt.permits)
					}
					return nil
				})
			}})
		})
	}
}

// One who waits crashes, perhaps with the wake-up, or with the permit. The other gets the second one.
func TestExploreSemaphoreCrash(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, waiter crashes", Crashes: 1, Delays: 3, New: func(w *explore.World) {
		all := handles(w, 2, 2, 3)
		w.GoMortal("mortal", func() { acquire(all[0], 1) })
		w.Go("waiter", func() { acquire(all[1], 1) })
		w.Go("releaser", func() { all[2].Release(1); all[2].Release(1) })
	}})
}

// The first waiter of a handle leaves while it sleeps, or is woken: the wake-up is passed on, to who waits on another
// handle or for something else, and the service to who is behind. It sleeps alone or in a group.
func TestExploreLeave(t *testing.T) {
	for _, tt := range []struct {
		name  string
		n     [2]int64
		group bool
	}{
		{"another handle", [2]int64{1, 0}, false},
		{"something else", [2]int64{2, 1}, false},
		{"another handle, group", [2]int64{1, 0}, true},
		{"something else, group", [2]int64{2, 1}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, waiter leaves, " + tt.name, Delays: 3, New: func(w *explore.World) {
				all := unbounded(handles(w, 2, 2, 3))
				first := enqueue(all[0], tt.n[0])
				p := []*explore.Process{w.Go("first", func() {
					if all[0].queue.serve(context.Background(), first); first.served {
						all[0].Release(tt.n[0])
					}
				})}
				w.Go("its context", func() { all[0].queue.leave(first) })
				if tt.n[1] > 0 {
					second := enqueue(all[0], tt.n[1])
					p = append(p, w.Go("second", func() {
						if explore.Until(func() bool { return explore.Closed(second.turn) }); !second.served {
							all[0].queue.serve(context.Background(), second)
						}
					}))
				} else {
					p = append(p, w.Go("waiter", func() { acquire(all[1], 1) }))
				}
				w.Go("releaser", func() { all[2].Release(1) })
				if tt.group {
					inGroups(w, p...)
				}
			}})
		})
	}
}

// Goroutines of one process wait on one handle, and another process gives what they wait for. Who is served hands the service on;
// the context of one ends, just as it gets the service perhaps.
func TestExploreHandOn(t *testing.T) {
	for name, impatient := range map[string]bool{"all wait": false, "one leaves": true} {
		t.Run(name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, service, " + name, Delays: 3, Walks: 300, New: func(w *explore.World) {
				all := unbounded(handles(w, 3, 3, 2))
				ctx, end := context.Background(), func() {}
				if impatient {
					ctx, end = context.WithCancel(ctx)
				}
				first := enqueue(all[0], 1)
				w.Go("first", func() { all[0].queue.serve(context.Background(), first) })
				left := false
				w.Go("second", func() { left = all[0].acquireSlow(ctx, 1) != nil })
				w.Go("third", func() { acquire(all[0], 1) })
				if impatient {
					w.Go("its context", func() { end(); explore.Step() })
				}
				w.Go("releaser", func() {
					for range 3 {
						all[1].Release(1)
					}
				})
				w.Check(func() error {
					end()
					if v := all[0].Value(); v != 0 && !left {
						return fmt.Errorf("%d permits are left", v)
					}
					return nil
				})
			}})
		})
	}
}

// Two handles of a process sleep in a group, on one word or on two, beside another process that sleeps alone: each gets its permit.
func TestExploreGroup(t *testing.T) {
	for _, tt := range []struct {
		name     string
		n        [2]int64
		releases []int64
	}{
		{"one word", [2]int64{1, 1}, []int64{1, 2}},
		{"two words", [2]int64{1, 2}, []int64{2, 1, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, group, " + tt.name, Delays: 2, Walks: 300, New: func(w *explore.World) {
				all := unbounded(handles(w, 4, 4, 4))
				inGroups(w,
					w.Go("member0", func() { acquire(all[0], tt.n[0]) }),
					w.Go("member1", func() { acquire(all[1], tt.n[1]) }))
				w.Go("alone", func() { acquireAlone(all[2]) })
				w.Go("releaser", func() {
					for _, n := range tt.releases {
						all[3].Release(n)
					}
				})
			}})
		})
	}
}

// Two handles of a process, on objects that have nothing to do with each other, sleep in a group. What one waits for comes only after
// the other was served.
func TestExploreGroupOfStrangers(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, group of strangers", Delays: 3, Walks: 300, New: func(w *explore.World) {
		one, other := unbounded(handles(w, 1, 1, 2)), unbounded(handles(w, 1, 1, 2))
		inGroups(w,
			w.Go("member0", func() { acquire(one[0], 1) }),
			w.Go("member1", func() { acquire(other[0], 1); one[1].Release(1) }))
		w.Go("releaser", func() { other[1].Release(1) })
	}})
}

// acquireAlone acquires a permit in a process that has nothing but this one handle.
func acquireAlone(s *Semaphore) {
	for e := s.eventcount(1); ; {
		ticket := e.Announce()
		if ok, _ := s.take(1); ok {
			return
		}
		e.Sleep(ticket, -1)
	}
}
