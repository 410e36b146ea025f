//go:build explore

package semaphore

import (
	"fmt"
	"testing"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// A company is the processes of a scenario that have seats at an object: number i has the ID 1000+i and, unless it has left it, seat i.
type company struct{ procs []*explore.Process }

func (c *company) alive(id owner.ID) bool {
	p := c.procs[id-1000]
	return p == nil || !p.Crashed()
}

// seat makes t the table of process i, which is told of nobody's end.
func (c *company) seat(t *table, i int) {
	t.self, t.id, t.alive = i, owner.ID(1000+i), c.alive
	t.watch.stopped = true
	t.seats[i].owner.Store(uint64(t.id))
}

// A vault is a robust semaphore in a scenario, with a handle for each process. held is what each has: it is told by where it stands.
type vault struct {
	company
	permits int64
	all     []*Semaphore
	held    []int64
}

func newVault(w *explore.World, permits int64, n int) *vault {
	mem := layout.SliceBytes(make([]uint64, RobustSize/8))
	v := &vault{company{make([]*explore.Process, n)}, permits, make([]*Semaphore, n), make([]int64, n)}
	for i := range v.all {
		var err error
		if i == 0 {
			v.all[i], err = NewRobustAt(mem, permits)
		} else {
			v.all[i], err = Attach(mem)
		}
		if err != nil {
			panic(err)
		}
		v.all[i].queue.bits = 1 << i
		v.all[i].turns.inScenario(i)
		v.seat(&v.all[i].ledger.table, i)
	}
	w.Share("robust semaphore", mem[:Size+layout.Line+n*layout.Line])
	return v
}

// use takes n permits, if they are there, and gives them back.
func (v *vault) use(i int, n int64) {
	s := v.all[i]
	ok, err := s.take(n)
	if err != nil {
		explore.Fail("corrupted", "%v", err)
	}
	if !ok {
		return
	}
	v.held[i] += n
	v.audit()
	explore.Step()
	v.held[i] -= n
	v.give(i, n)
}

// audit looks whether the living hold more than there is.
func (v *vault) audit() {
	held := int64(0)
	for i, n := range v.held {
		if p := v.procs[i]; p == nil || !p.Crashed() {
			held += n
		}
	}
	if held > v.permits {
		explore.Fail("too many", "%d of %d permits are held", held, v.permits)
	}
}

func (v *vault) give(i int, n int64) {
	defer func() {
		if text := recover(); text != nil {
			if s, ok := text.(string); ok {
				explore.Fail("robbed", "%s", s)
			}
			panic(text)
		}
	}()
	v.all[i].ledger.give(n)
}

// verify buries all who crashed: then all permits are free.
func (v *vault) verify() error {
	l := v.all[len(v.all)-1].ledger
	l.recover()
	if free := v.all[0].Value(); free != v.permits {
		return fmt.Errorf("lost: %d of %d permits are free at the end", free, v.permits)
	}
	for i := range v.all {
		if _, held, sound := l.account(l.load(), i); held != 0 || !sound {
			return fmt.Errorf("seat %d has %d permits", i, held)
		}
	}
	return nil
}

// Several use it, each with or without the permits of the others in the way, and some crash.
func TestExploreRobust(t *testing.T) {
	for _, tt := range []struct {
		name    string
		permits int64
		takes   []int64
		crashes int // that many of the first crash
		delays  int
	}{
		{"two of two", 2, []int64{1, 1}, 0, 4},
		{"three of two", 2, []int64{1, 1, 1}, 0, 3},
		{"one of two crashes", 2, []int64{1, 2}, 1, 3},
		{"one of three crashes", 3, []int64{2, 1, 1}, 1, 2},
		{"two of three crash", 2, []int64{1, 1, 1}, 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, robust, " + tt.name, Delays: tt.delays, Crashes: tt.crashes, Walks: 500, New: func(w *explore.World) {
				v := newVault(w, tt.permits, len(tt.takes))
				for i, n := range tt.takes {
					name, body := fmt.Sprint("process", i), func() { v.use(i, n); v.use(i, n) }
					if i < tt.crashes {
						v.procs[i] = w.GoMortal(name, body)
					} else {
						v.procs[i] = w.Go(name, body)
					}
				}
				w.Check(v.verify)
			}})
		})
	}
}

// One crashes with or without a permit. Two others bury it, while one of them takes its seat, and a permit there: that is not the
// dead one's, and one who buries late leaves it alone. One of those who bury may crash too.
func TestExploreRobustBurial(t *testing.T) {
	for _, mortal := range []bool{false, true} {
		t.Run(fmt.Sprint("burier crashes ", mortal), func(t *testing.T) {
			crashes, delays := 1, 3
			if mortal {
				crashes, delays = 2, 2
			}
			explore.Run(t, explore.Scenario{Name: fmt.Sprint("semaphore.Semaphore, robust, burial, ", mortal), Delays: delays, Crashes: crashes, Walks: 500, New: func(w *explore.World) {
				v := newVault(w, 2, 3)
				v.procs[0] = w.GoMortal("mortal", func() { v.use(0, 1); v.use(0, 2) })
				late := func() {
					explore.Until(v.procs[0].Gone)
					v.all[1].ledger.recover()
					v.use(1, 1)
				}
				if mortal {
					v.procs[1] = w.GoMortal("late", late)
				} else {
					v.procs[1] = w.Go("late", late)
				}
				v.procs[2] = w.Go("heir", func() {
					explore.Until(v.procs[0].Gone)
					l := v.all[2].ledger
					l.recover()
					if l.seats[0].owner.Load() != vacant { // it has ended, and not crashed; or the other has not done with it
						return
					}
					l.leaveSeat()
					if err := l.sit(); err != nil || l.self != 0 {
						explore.Fail("no seat", "%d, %v", l.self, err)
					}
					v.use(2, 1)
					v.use(2, 2)
				})
				w.Check(v.verify)
			}})
		})
	}
}

// leaveSeat gives up the seat that a scenario gave.
func (t *table) leaveSeat() { t.mine().owner.CompareAndSwap(uint64(t.id), vacant) }

// One sleeps for what another has, that releases it, or crashes and is buried by a third.
func TestExploreRobustWaiter(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Semaphore, robust, waiter", Delays: 3, Crashes: 1, Walks: 300, New: func(w *explore.World) {
		v := newVault(w, 1, 3)
		v.procs[0] = w.GoMortal("mortal", func() { v.use(0, 1); v.all[0].wake(1) })
		v.procs[1] = w.Go("waiter", func() {
			acquire(v.all[1], 1)
			v.held[1]++
			v.audit()
			explore.Step()
			v.held[1]--
			v.all[1].Release(1)
		})
		v.procs[2] = w.Go("undertaker", func() {
			explore.Until(v.procs[0].Gone)
			v.all[2].ledger.recover()
		})
		w.Check(v.verify)
	}})
}
