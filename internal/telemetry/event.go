package telemetry

import (
	"fmt"
	"structs"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/ring"
)

// A Kind says what happened.
type Kind uint32

// What happens in a worker.
const (
	Ran   Kind = iota + 1 // a task, without an error
	Erred                 // a task, with an error or a panic
	Slept                 // there was nothing to do
	Began                 // the worker is ready
)

// What happens in the parent.
const (
	Journey  Kind = iota + 101 // a task from being accepted until its result was taken
	Launched                   // a worker was started
	Died                       // a worker; N is its End
	Resized                    // N is the number of workers that there should be
	Rebuilt                    // the pool has new memory
)

var kindNames = map[Kind]string{Ran: "ran", Erred: "erred", Slept: "slept", Began: "began",
	Journey: "journey", Launched: "launched", Died: "died", Resized: "resized", Rebuilt: "rebuilt"}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", uint32(k))
}

// An Event is something that has happened, as it lies in the memory.
type Event struct {
	_      structs.HostLayout
	At     int64  // when it ended, by sys.Nanotime
	For    int64  // nanoseconds that it took
	Wait   int64  // nanoseconds that the task had waited before, less than 0 if that is not known
	Task   uint64 // which one
	Kind   Kind
	Func   uint32 // index of the task's function
	Worker uint32 // incarnation
	N      uint32 // items of a chunk, or what the kind says
	Untold uint64 // tasks and items since the last event that tells of one, without this one's
}

const eventBytes = 56

var _ = layout.Sized[Event](eventBytes)

// Events are kept in rings of so many.
const (
	workerEvents = 512
	parentEvents = 1024
)

// A Recorder writes one party's last events. The zero Recorder writes them nowhere.
type Recorder struct{ ring *ring.BroadcastWriter }

// Write keeps an event, in place of the oldest.
func (r Recorder) Write(e *Event) {
	if r.ring != nil {
		r.ring.Write(layout.Bytes(e))
	}
}

// A Player reads them.
type Player struct{ ring *ring.BroadcastReader }

// Next returns the next event, and how many were missed before it. ok is false if there is none yet.
func (p Player) Next() (e Event, missed uint64, ok bool) {
	rec, missed, ok := p.ring.Next()
	if ok {
		layout.Read(rec, &e)
	}
	return e, missed, ok
}

// End returns when the event ended, and Begin when it began.
func (e *Event) End() time.Duration   { return time.Duration(e.At) }
func (e *Event) Begin() time.Duration { return time.Duration(e.At - e.For) }
