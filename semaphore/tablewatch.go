package semaphore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/owner"
)

// A watch is how a handle knows of the end of other participants. It begins when somebody has to wait, and lasts until the handle is
// closed: a descriptor for each process, however many handles it has, and nothing else.
type watch struct {
	joined atomic.Uint32 // that of the roll for which it is right, plus 1; 0: of none
	blind  atomic.Bool   // some cannot be watched

	mu      sync.Mutex // held while the dead are buried, so that stop waits for that
	stops   map[owner.ID]func()
	stopped bool
	looked  time.Time
}

// mind sees to it that this process is told when a participant ends: then that one is buried. Who died before it was called is
// buried when it returns. It costs a load while the participants are the same; who waits calls it each time that it looks.
func (t *table) mind() {
	if joined := t.joined.Load() + 1; t.watch.joined.Load() != joined { // pairs with the Add in sit
		t.renew(joined)
	}
	if t.watch.blind.Load() {
		t.peer()
	}
}

// renew watches those who have seats now.
func (t *table) renew(joined uint32) {
	w := &t.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	now, blind := map[owner.ID]func(){}, false
	t.each(func(i int, id owner.ID) {
		if id == t.id || now[id] != nil {
			return
		}
		stop := w.stops[id]
		if stop == nil {
			if t.check(i, id) {
				return
			}
			var err error
			if stop, err = id.OnEnd(func() { t.ended(id) }); err != nil {
				blind = true
				return
			}
		}
		now[id] = stop
		delete(w.stops, id)
	})
	for _, stop := range w.stops {
		stop()
	}
	w.stops = now
	w.blind.Store(blind)
	w.joined.Store(joined)
}

// ended is called when a participant has ended. It is told once, so nobody is asked again, who might not know just now.
func (t *table) ended(dead owner.ID) {
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	if t.watch.stopped {
		return
	}
	t.each(func(i int, id owner.ID) {
		if id == dead {
			t.inter(i, id)
		}
	})
}

// peer looks for itself, each step, where the system does not tell.
func (t *table) peer() {
	w := &t.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped && time.Since(w.looked) >= Step {
		w.looked = time.Now()
		t.recover()
	}
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, stop := range w.stops {
		stop()
	}
	w.stops, w.stopped = nil, true
}
