//go:build explore

package semaphore

import (
	"context"
	"fmt"
	"testing"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// A crowd is a condition variable with a handle for each process. Each has a lock of its own, at which nobody else is: what is explored
// is who is signalled. woken counts those, by process: it is told by where they stand.
type crowd struct {
	company
	all   []*Cond
	woken []int
}

func newCrowd(w *explore.World, n int) *crowd {
	mem := layout.SliceBytes(make([]uint64, CondSize/8))
	c := &crowd{company: company{make([]*explore.Process, n)}, all: make([]*Cond, n), woken: make([]int, n)}
	for i := range c.all {
		m, err := NewMutexAt(layout.SliceBytes(make([]uint64, MutexSize/8)))
		if err != nil {
			panic(err)
		}
		if i == 0 {
			c.all[i], err = NewCondAt(mem, m)
		} else {
			c.all[i], err = AttachCond(mem, m)
		}
		if err != nil {
			panic(err)
		}
		m.lock.words.word.Store(uint64(m.lock.id))
		c.all[i].queue.bits = 1 << i
		c.seat(&c.all[i].seat, i)
	}
	places := int64(layout.Line + rollSize)
	w.Share("condition variable", mem[:2*layout.Line+n*layout.Line])
	w.Share("places", mem[places:places+int64(n*placeSize)])
	return c
}

// counted counts one more waiter of process i, before the scenario begins: wait is the rest of its Wait.
func (c *crowd) counted(i int) *crowd {
	if err := c.all[i].begin(); err != nil {
		panic(err)
	}
	return c
}

// wait returns when one who was counted is signalled and has its lock.
func (c *crowd) wait(i int) {
	if err := c.all[i].wait(context.Background()); err != nil {
		explore.Fail("not signalled", "%v", err)
	}
	c.woken[i]++ // and has the lock: others would hear of its death by that
	c.all[i].finish()
	c.all[i].L.lock.words.word.Store(uint64(c.all[i].L.lock.id)) // for the next
}

func (c *crowd) sum() (n int) {
	for _, k := range c.woken {
		n += k
	}
	return n
}

// settled reports whether as many have been woken, and nobody waits.
func (c *crowd) settled(woken int) func() error {
	return func() error {
		for i := range c.all {
			if t := c.all[0].body.places[i].load(); t.waiting() != 0 || t.signalled() != 0 {
				return fmt.Errorf("place %d says that %d wait and %d are signalled", i, t.waiting(), t.signalled())
			}
		}
		if n := c.sum(); n != woken {
			return fmt.Errorf("%d of %d were woken", n, woken)
		}
		return nil
	}
}

// Two wait, who are signalled one by one, by one process or by two, or all at once.
func TestExploreCond(t *testing.T) {
	for name, wakers := range map[string][]func(*Cond){
		"one by one":  {func(c *Cond) { c.Signal(); c.Signal() }},
		"by two":      {(*Cond).Signal, (*Cond).Signal},
		"both":        {func(c *Cond) { c.Notify(2) }},
		"all at once": {(*Cond).Broadcast},
	} {
		t.Run(name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Cond, " + name, Delays: 3, Walks: 300, New: func(w *explore.World) {
				c := newCrowd(w, 4).counted(0).counted(1)
				for i := range 2 {
					c.procs[i] = w.Go(fmt.Sprint("waiter", i), func() { c.wait(i) })
				}
				for i, wake := range wakers {
					c.procs[2+i] = w.Go(fmt.Sprint("waker", i), func() { wake(c.all[2+i]) })
				}
				w.Check(c.settled(2))
			}})
		})
	}
}

// One leaves while another signals. It was signalled and says so, or the signal goes to who stays, on the same handle or another one; never both.
func TestExploreCondLeave(t *testing.T) {
	for _, stays := range []int{0, 1} {
		t.Run(fmt.Sprint("handle ", stays), func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: fmt.Sprint("semaphore.Cond, waiter leaves, ", stays), Delays: 3, Walks: 300, New: func(w *explore.World) {
				c := newCrowd(w, 3).counted(0).counted(stays)
				ctx, cancel := context.WithCancel(context.Background())
				first := &waiter{on: c.all[0].bell(0), try: func() bool { ok, _ := c.all[0].take(); return ok }}
				serves := c.all[0].queue.join(first)
				w.Go("first", func() {
					served, _ := c.all[0].queue.stay(ctx, first, serves)
					if !served {
						var err error
						if served, err = c.all[0].leave(); err != nil {
							explore.Fail("corrupted", "%v", err)
						}
					}
					if served {
						c.woken[0]++
						c.all[0].finish()
						c.all[0].Signal() // for who stays
					}
				})
				w.Go("canceller", func() { cancel(); c.all[0].queue.leave(first) })
				w.Go("stays", func() { c.wait(stays) })
				w.Go("waker", func() { c.all[2].Signal() })
				w.Check(func() error {
					n := c.sum()
					if n == 0 || n > 2 {
						return fmt.Errorf("%d were woken", n)
					}
					return c.settled(n)()
				})
			}})
		})
	}
}

// Of two who wait one crashes, perhaps signalled, perhaps not. Two others bury it, of whom one may crash, too. The other is signalled in its place.
func TestExploreCondCrash(t *testing.T) {
	for _, crashes := range []int{1, 2} {
		t.Run(fmt.Sprint("crashes ", crashes), func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: fmt.Sprint("semaphore.Cond, waiter crashes, ", crashes), Crashes: crashes, Delays: 2, Walks: 500, New: func(w *explore.World) {
				c := newCrowd(w, 4).counted(0).counted(1)
				c.procs[0] = w.GoMortal("mortal", func() { c.wait(0) })
				c.procs[1] = w.Go("waiter", func() { c.wait(1) })
				c.procs[2] = w.Go("waker", func() {
					c.all[2].Signal()
					explore.Until(c.procs[0].Gone)
					if c.woken[0] > 0 { // it had its signal, and the lock
						c.all[2].Signal()
					}
				})
				bury := func(i int) func() {
					return func() {
						explore.Until(c.procs[0].Gone)
						if c.procs[0].Crashed() {
							c.all[i].seat.recover()
						}
					}
				}
				if crashes > 1 {
					c.procs[3] = w.GoMortal("undertaker", bury(3))
				}
				w.Go("second undertaker", bury(1)) // of the process that waits
			}})
		})
	}
}

// A process that was signalled crashes. One buries it, another takes its seat and waits there: that one's place is its own, however late the
// other comes with what it saw of the dead.
func TestExploreCondHeir(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Cond, heir", Delays: 3, Walks: 500, New: func(w *explore.World) {
		c := newCrowd(w, 3)
		const dead = owner.ID(1000)
		place := &c.all[0].body.places[0]
		place.tally.Store(uint64(tally(0).with(1, 0)))
		w.Go("late", func() { c.all[1].bury(0, dead) })
		w.Go("heir", func() {
			c.all[2].bury(0, dead)
			if !c.all[2].seat.seats[0].owner.CompareAndSwap(uint64(dead), vacant) {
				return
			}
			c.all[2].seat.seats[0].owner.Store(1002)
			t := place.load()
			if !place.swap(t, t.with(1, 0)) { // waits there
				explore.Fail("robbed", "somebody changes the place of the living")
			}
		})
		w.Check(func() error {
			if t := place.load(); t.waiting() != 1 {
				return fmt.Errorf("robbed: %d wait in the place of one", t.waiting())
			}
			return nil
		})
	}})
}
