package ring

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

// A watch has a pipe end hear of the end of the process that holds the other one.
type watch struct {
	// of is the other end's holder, as it was when the watch began; 0: nobody is watched. Stored under mu, loaded before each send.
	of   atomic.Uint64
	mu   sync.Mutex
	stop func()
}

// gone reports whether the other end is closed. While its holder is the one that is watched this is two loads.
func (e *PipeEnd) gone() bool {
	// Pairs with the CASes in Close, Share, Adopt and mourn. What its holder sent before is visible if this is closedEnd.
	h := e.peer.holder.Load()
	return h != e.watch.of.Load() && e.meet()
}

// meetings bounds how often a holder may change while this end looks at it.
const meetings = 8

// meet is gone for a holder that is not watched yet: from now on it is.
func (e *PipeEnd) meet() (gone bool) {
	e.watch.mu.Lock()
	defer e.watch.mu.Unlock()
	for range meetings {
		h := holding(e.peer.holder.Load())
		if h == closedEnd {
			return true
		}
		id := owner.ID(h)
		if h.isTicket() {
			id = owner.ID(e.peer.giver.Load()) // stored before the ticket: it belongs to it if the ticket is still there
		}
		if holding(e.peer.holder.Load()) != h {
			continue
		}
		if !e.watch.begin(h, id, func() { e.mourn(h) }) && id != 0 && !id.Alive() {
			return e.peer.holder.CompareAndSwap(uint64(h), uint64(closedEnd))
		}
		if holding(e.peer.holder.Load()) == h {
			return false
		}
	}
	return false
}

// begin watches the process id, which is behind h, in place of whoever was watched. ok is false if it cannot be watched.
func (w *watch) begin(h holding, id owner.ID, ended func()) (ok bool) {
	w.end()
	stop, err := id.OnEnd(ended)
	if err != nil {
		return false
	}
	w.stop = stop
	w.of.Store(uint64(h))
	return true
}

// end watches nobody any more. It does not wait for an ended that runs.
func (w *watch) end() {
	w.of.Store(0)
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// mourn closes the other end, after the proof that the process behind h has ended, unless the end is another's by now. Those who
// sleep look for themselves in either case.
func (e *PipeEnd) mourn(h holding) {
	e.mapped.RLock()
	defer e.mapped.RUnlock()
	if e.unmapped {
		return
	}
	e.peer.holder.CompareAndSwap(uint64(h), uint64(closedEnd))
	e.ringAll()
}

// patience is how long one may sleep before it looks again. Whoever is to wake it may be killed before it does so: then the end
// of that process wakes it, if it is watched. An end on its way may be adopted by a process that is killed before it says so.
func (e *PipeEnd) patience() time.Duration {
	h := e.peer.holder.Load()
	if h == e.watch.of.Load() && !holding(h).isTicket() {
		return -1
	}
	return semaphore.Step
}
