//go:build explore

package semaphore

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// A stand is an event with some words behind it, and handles: each is a process's own.
type stand struct {
	all   []*Event
	items *atomic.Uint64
	begun *atomic.Uint64
}

func newStand(w *explore.World, n int) *stand {
	mem := layout.SliceBytes(make([]uint64, EventSize/8+2))
	s := &stand{
		all:   make([]*Event, n),
		items: layout.MustAt[atomic.Uint64](mem, EventSize),
		begun: layout.MustAt[atomic.Uint64](mem, EventSize+8),
	}
	for i := range s.all {
		var err error
		if i == 0 {
			s.all[i], err = NewEventAt(mem)
		} else {
			s.all[i], err = AttachEvent(mem)
		}
		if err != nil {
			panic(err)
		}
		s.all[i].queue.bits = 1 << i
	}
	w.Share("event", mem)
	return s
}

func (s *stand) wait(i int) {
	if err := s.all[i].Wait(context.Background()); err != nil {
		explore.Fail("not let go", "%v", err)
	}
}

// Two wait, one or two set.
func TestExploreEvent(t *testing.T) {
	for setters := 1; setters <= 2; setters++ {
		explore.Run(t, explore.Scenario{Name: fmt.Sprint("semaphore.Event, setters ", setters), Delays: 3, Walks: 300, New: func(w *explore.World) {
			s := newStand(w, 4)
			for i := range 2 {
				w.Go(fmt.Sprint("waiter", i), func() { s.wait(i) })
			}
			for i := range setters {
				w.Go(fmt.Sprint("setter", i), func() { s.all[2+i].Set() })
			}
			w.Check(func() error {
				if !s.all[0].IsSet() {
					return fmt.Errorf("it is not set")
				}
				return nil
			})
		}})
	}
}

// Who waits when the event is set is let go, also if it is cleared at once. If nobody waits yet, it stays set.
func TestExploreEventPulse(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Event, pulse", Walks: 300, New: func(w *explore.World) {
		s := newStand(w, 2)
		w.Go("waiter", func() {
			e := s.all[0]
			was := e.body.state.Load()
			if was&isSet != 0 {
				return
			}
			s.begun.Store(1)
			if _, err := e.queue.Wait(context.Background(), e.eventcount(), func() bool { return e.passed(was) }); err != nil {
				explore.Fail("not let go", "%v", err)
			}
		})
		w.Go("setter", func() {
			if s.begun.Load() == 1 {
				s.all[1].Set()
				s.all[1].Clear()
				return
			}
			s.all[1].Set()
		})
	}})
}

// Two put an item each, by a store that is no fence, and set the event; one waits, clears it, and looks. It gets both.
func TestExploreEventItems(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Event, items", Delays: 4, Walks: 500, New: func(w *explore.World) {
		s := newStand(w, 3)
		put := []*atomic.Uint64{s.items, s.begun}
		for i, word := range put {
			w.Go(fmt.Sprint("producer", i), func() {
				sys.PublishStore64(word, 1)
				s.all[i].Set()
			})
		}
		w.Go("consumer", func() {
			for put[0].Load() == 0 || put[1].Load() == 0 {
				s.wait(2)
				s.all[2].Clear()
			}
		})
	}})
}

// Who sets it crashes. If that was before, another sets it; if it was after, the others find that it is, by themselves.
func TestExploreEventCrash(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Event, setter crashes", Crashes: 1, Delays: 3, Walks: 300, New: func(w *explore.World) {
		s := newStand(w, 4)
		mortal := w.GoMortal("mortal", func() { s.all[2].Set() })
		for i := range 2 {
			w.Go(fmt.Sprint("waiter", i), func() { s.wait(i) })
		}
		w.Go("successor", func() {
			explore.Until(mortal.Gone)
			if !s.all[3].IsSet() {
				s.all[3].Set()
			}
		})
	}})
}
