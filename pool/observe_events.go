package pool

import (
	"fmt"
	"time"

	"github.com/shmkit/shmkit/internal/telemetry"
)

// An Event is something that has happened in a pool. The parent and each worker keep the last few hundred of theirs.
type Event struct {
	Kind     EventKind
	Begin    time.Time
	End      time.Time     // the same, for what took no time
	Wait     time.Duration // from when the task was accepted until it began; less than 0 if that is not known
	Task     uint64        // which one, the same in the parent's and a worker's events; 0 if it is not about one
	Function string        // the task's
	Worker   uint32        // incarnation, 0 for the parent's events that are about none
	N        uint32        // items of a chunk; of Resized, how many workers there should be
	Reason   string        // why the worker died, as in WorkerSnapshot.Ends

	// Untold is how many tasks and items the worker has run, since the event before, of which there is no event: of those that take less than
	// about 10 µs only some are told.
	Untold uint64
}

// An EventKind says what has happened.
type EventKind string

// What happens in a worker.
const (
	EventRan   EventKind = "ran"   // a task, without an error
	EventErred EventKind = "erred" // a task, with an error or a panic
	EventSlept EventKind = "slept" // there was nothing to do
	EventBegan EventKind = "began" // the worker is ready
)

// What happens in the parent.
const (
	EventJourney  EventKind = "journey"  // a task from being accepted until its result was taken
	EventLaunched EventKind = "launched" // a worker was started
	EventDied     EventKind = "died"     // a worker
	EventResized  EventKind = "resized"
	EventRebuilt  EventKind = "rebuilt" // the pool has got this memory
)

// A Player returns the events of a pool's parent, or of a worker's place, as they happen. It is not safe for concurrent use.
type Player struct {
	o     *Observer
	at    int64
	tape  *telemetry.Tape
	shift int64 // from the monotonic clock to the time since 1970
}

// ParentEvents returns a Player of the parent's events.
func (o *Observer) ParentEvents() (*Player, error) {
	at, _ := telemetry.ParentEvents(o.geo.workers)
	return o.player(o.off.telemetry+at, true)
}

// WorkerEvents returns a Player of the events of the workers at a place, the present one's and its predecessors'.
func (o *Observer) WorkerEvents(place int) (*Player, error) {
	if place < 0 || place >= o.geo.workers {
		return nil, fmt.Errorf("events of worker %d, of %d", place, o.geo.workers)
	}
	at, _ := telemetry.WorkerEvents(o.geo.functions)
	return o.player(o.records(place)+at, false)
}

func (o *Observer) player(at int64, parent bool) (*Player, error) {
	c, err := o.common()
	if err != nil {
		return nil, fmt.Errorf("play events: %w", err)
	}
	return &Player{o: o, at: at, tape: telemetry.NewTape(parent), shift: c.Board.Wall - c.Board.Born}, nil
}

// Next returns what has happened since the last call, the oldest first, and how many events were overwritten before they could be read. At
// first it returns those that are still there. It does not wait: call it a few times a second to miss little.
func (p *Player) Next() (events []Event, missed uint64, err error) {
	_, n := telemetry.WorkerEvents(0)
	if !p.o.holes(p.at, n) {
		return nil, 0, nil
	}
	all, missed, err := p.tape.Play(func(b []byte) error { return p.o.readInto(b, p.at) })
	if err != nil {
		return nil, 0, fmt.Errorf("play events: %w", err)
	}
	for i := range all {
		events = append(events, p.o.event(&all[i], p.shift))
	}
	return events, missed, nil
}

// event is e, with shift from the monotonic clock to the time since 1970.
func (o *Observer) event(e *telemetry.Event, shift int64) Event {
	out := Event{Kind: EventKind(e.Kind.String()), Begin: time.Unix(0, e.At-e.For+shift), End: time.Unix(0, e.At+shift),
		Wait: time.Duration(e.Wait), Task: e.Task, Worker: e.Worker, N: e.N, Untold: e.Untold}
	switch e.Kind {
	case telemetry.Ran, telemetry.Erred, telemetry.Journey:
		out.Function = o.function(e.Func)
	case telemetry.Died:
		out.Reason = telemetry.End(e.N).String()
	}
	return out
}
