package semaphore

import (
	"sync"
	"time"

	"github.com/shmkit/shmkit/internal/owner"
)

// A vigil tells those who wait on a handle when a process has ended that is in their way. It costs a descriptor for each such process,
// which all objects of this process share, until that process ends or the handle is closed; and nothing before anybody waits.
type vigil struct {
	onEnd func(id owner.ID, f func()) (stop func(), err error) // [owner.ID.OnEnd]; constant
	alive func(id owner.ID) bool                               // [owner.ID.Alive]; constant
	tell  func()                                               // has those who wait look again; constant

	mu     sync.Mutex // held while tell runs, so that close waits for that
	closed bool
	others map[owner.ID]*other
}

// An other is a process that was in the way.
type other struct {
	stop  func() // nil: the system does not tell of its end
	ended bool
	asked time.Time // when it was, if the system does not tell
}

func (v *vigil) init(tell func()) {
	v.onEnd, v.alive, v.tell = owner.ID.OnEnd, owner.ID.Alive, tell
}

// ended reports whether the process is known to have ended. If not, tell is called soon after it has.
func (v *vigil) ended(id owner.ID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return false
	}
	o := v.others[id]
	if o == nil {
		o = v.begin(id)
	}
	if o.stop == nil && !o.ended && time.Since(o.asked) >= Step {
		o.asked, o.ended = time.Now(), !v.alive(id)
	}
	return o.ended
}

// begin begins to watch a process, and forgets those of which nobody will ask again: an ID is never given twice.
func (v *vigil) begin(id owner.ID) *other {
	if v.others == nil {
		v.others = map[owner.ID]*other{}
	}
	for was, o := range v.others {
		if o.ended {
			delete(v.others, was)
		}
	}
	o := new(other)
	v.others[id] = o
	stop, err := v.onEnd(id, func() { v.end(o) })
	if err == nil {
		o.stop = stop
	}
	return o
}

// end is called when a process has ended.
func (v *vigil) end(o *other) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o.ended = true
	if !v.closed {
		v.tell()
	}
}

// close ends the vigil; tell is not called any more when it has returned.
func (v *vigil) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	for _, o := range v.others {
		if o.stop != nil {
			o.stop()
		}
	}
	v.others = nil
}
