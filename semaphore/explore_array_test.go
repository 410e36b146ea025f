//go:build explore

package semaphore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// A shelf is an array with a handle for each process. Its first element is changed in the slice, by two steps, and its second by Store.
type shelf struct {
	*crypt
	all []*Array[twins]
}

func newShelf(w *explore.World, n int) *shelf {
	sleeping = &sleepers{alone: math.MaxInt64}
	mem := layout.SliceBytes(make([]uint64, (ArraySize[twins](2)+7)/8))
	s := &shelf{newCrypt(w, n), make([]*Array[twins], n)}
	for i := range s.all {
		var err error
		if i == 0 {
			s.all[i], err = NewArrayAt[twins](mem, 2)
		} else {
			s.all[i], err = AttachArray[twins](mem)
		}
		if err != nil {
			panic(err)
		}
		l := &s.all[i].lock.lock
		l.id, l.queue.bits = owner.ID(1000+i), 1<<i
		s.watch(&l.vigil)
	}
	w.Tick(time.Millisecond)
	w.Share("array", mem)
	return s
}

// change changes the first element, with the lock, and looks whether anybody else does, or changes the second.
func (s *shelf) change(i int) {
	m, elems := s.all[i].Mutex(), s.all[i].Slice()
	if err := m.Lock(context.Background()); err != nil {
		explore.Fail("corrupted", "%v", err)
	}
	was := [2]twins{elems[0], elems[1]}
	elems[0].A++
	s.a.Add(1) // something that others can see: a crash may come after it
	elems[0].B++
	if now := [2]twins{elems[0], elems[1]}; was[0].A != was[0].B || now[0].B != was[0].B+1 || now[0].A != now[0].B || now[1] != was[1] {
		explore.Fail("two holders", "%+v became %+v", was, now)
	}
	m.Unlock()
}

// load returns the first element, which is whole, and whether it was told of a death instead.
func (s *shelf) load(i int) (x twins, told bool) {
	x, err := s.all[i].Load(context.Background(), 0)
	explore.Observe(x.A<<32 | x.B)
	if told = s.told(err); !told && x.A != x.B {
		explore.Fail("half a change", "%+v", x)
	}
	return x, told
}

// told reports whether err says that a holder has died, which is all that it may say.
func (s *shelf) told(err error) bool {
	if err != nil && !(errors.Is(err, ErrOwnerDied) && s.procs[0].Crashed()) {
		explore.Fail("corrupted", "%v", err)
	}
	return err != nil
}

// Of an array that processes change, no element is seen half changed, and none changes while another has the lock.
func TestExploreArray(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Array", Delays: 2, Walks: 300, New: func(w *explore.World) {
		s := newShelf(w, 4)
		for i := range 2 {
			s.procs[i] = w.Go(fmt.Sprint("changes", i), func() { s.change(i) })
		}
		s.procs[2] = w.Go("loads", func() { s.load(2) })
		s.procs[3] = w.Go("stores", func() { s.told(s.all[3].Store(context.Background(), 1, twins{7, 7})) })
		w.Check(func() error {
			if e := s.all[0].Slice(); e[0] != (twins{2, 2}) || e[1] != (twins{7, 7}) {
				return fmt.Errorf("lost: it is %+v", e)
			}
			return nil
		})
	}})
}

// One crashes while it changes an element. The next is told, whatever it does, and nobody else.
func TestExploreArrayCrash(t *testing.T) {
	for name, next := range map[string]func(s *shelf) (told bool){
		"Load":  func(s *shelf) bool { _, told := s.load(1); return told },
		"Store": func(s *shelf) bool { return s.told(s.all[1].Store(context.Background(), 1, twins{7, 7})) },
	} {
		t.Run(name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Array, crash, " + name, Crashes: 1, Delays: 2, Walks: 300, New: func(w *explore.World) {
				s := newShelf(w, 2)
				s.procs[0] = w.GoMortal("mortal", func() { s.change(0) })
				s.procs[1] = w.Go("next", func() {
					if !next(s) {
						s.load(1)
						return
					}
					if _, err := s.all[1].Load(context.Background(), 0); err != nil {
						explore.Fail("told twice", "%v", err)
					}
				})
				s.kernel(w, s.procs[0], func() {})
			}})
		})
	}
}
