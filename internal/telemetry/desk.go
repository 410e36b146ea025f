package telemetry

import (
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// Desk is what is said of one place among the workers.
type Desk struct {
	_ structs.HostLayout

	// Written by the worker that has the place. They start anew with each worker.

	Ran     atomic.Uint64 // tasks and items that have ended, well or not
	Errors  atomic.Uint64 // of these, with an error or a panic
	Batches atomic.Uint64 // times that it took hints
	Stolen  atomic.Uint64 // tasks that it took over from another's batch
	Spins   atomic.Uint64 // times that it looked for work for a while
	Naps    atomic.Uint64 // times that it slept for a bounded time
	Sleeps  atomic.Uint64 // times that it slept until it was woken
	Clock   atomic.Uint64 // when it last read the clock: before that, what runs had not begun
	Busy    atomic.Uint64 // nanoseconds of tasks that were timed
	Timed   atomic.Uint64 // how many those were
	_       [layout.Line - 10*8]byte

	// Written by the parent.

	Process     atomic.Uint64 // owner.ID of the worker, 0 while there is none
	Incarnation atomic.Uint64
	Since       atomic.Int64 // when it was started
	State       atomic.Uint64
	Starts      atomic.Uint64                // of workers at this place
	Ends        [len(endNames)]atomic.Uint64 // of these, by End
	_           [layout.Line - 5*8 - 8*len(endNames)]byte
}

// Clear makes the worker's numbers those of one that has done nothing. Nobody has the place.
func (d *Desk) Clear() {
	for _, word := range []*atomic.Uint64{&d.Ran, &d.Errors, &d.Batches, &d.Stolen, &d.Spins, &d.Naps, &d.Sleeps, &d.Busy, &d.Timed} {
		word.Store(0)
	}
	d.Clock.Store(0)
}

const deskBytes = 2 * layout.Line

var _ = layout.Sized[Desk](deskBytes)

// A DeskState says where a place stands.
type DeskState uint64

// The states of a place.
const (
	Vacant DeskState = iota
	Starting
	Serving
	Leaving // told to end
	Doomed  // killed
	Undead  // killed, and has not died
)

var deskStates = [...]string{"vacant", "starting", "serving", "leaving", "killed", "undead"}

func (s DeskState) String() string {
	if s < DeskState(len(deskStates)) {
		return deskStates[s]
	}
	return "impossible"
}

// An End says why a worker has ended.
type End uint8

// The reasons.
const (
	Crashed    End = iota // by itself, or killed by somebody else
	Abandoned             // killed: nobody wanted its task any more, and it went on
	TimedOut              // killed: its task's time was up, and it went on
	TooLarge              // killed: it used more memory than it may
	Stopped               // killed: it was stopped, and did not go on
	Retired               // it had run as many tasks as it may, used much memory, or was one too many
	NotStarted            // it could not start
	Dismissed             // with the pool, or the pool's memory
	Requested             // killed: somebody has asked for it from outside
)

var endNames = [...]string{"crashed", "abandoned", "timed_out", "too_large", "stopped", "retired", "not_started", "dismissed", "requested"}

func (e End) String() string {
	if int(e) < len(endNames) {
		return endNames[e]
	}
	return "impossible"
}

// EndReasons lists all of them.
func EndReasons() []End {
	all := make([]End, len(endNames))
	for i := range all {
		all[i] = End(i)
	}
	return all
}
