package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// parent writes what the parent has noted. A task's journey is a slice of its own kind, as many are under way at once; where it begins and
// where it ends stand short slices on the parent's track, for the arrows to begin and end at.
func (t *tracer) parent(tr *track) {
	var ends []journeyEnd
	for i := range tr.events {
		e := &tr.events[i]
		if e.Kind != pool.EventJourney {
			t.event(traceEvent{Name: noteOf(e), Phase: "i", At: t.at(e.End), Tid: parentTrack, Scope: "p"})
			continue
		}
		ends = append(ends, journeyEnd{e.Begin, e, true}, journeyEnd{e.End, e, false})
		for phase, at := range map[string]time.Time{"b": e.Begin, "e": e.End} {
			t.event(traceEvent{Name: e.Function, Cat: "journey", Phase: phase, At: t.at(at), Tid: parentTrack, ID: taskID(e.Task)})
		}
	}
	slices.SortStableFunc(ends, func(a, b journeyEnd) int { return a.at.Compare(b.at) })
	for i, end := range ends {
		long := time.Microsecond
		if i+1 < len(ends) {
			long = min(long, ends[i+1].at.Sub(end.at)) // slices of one track do not overlap
		}
		t.journeyEnd(end, long)
	}
	t.gap(parentTrack, tr)
}

type journeyEnd struct {
	at    time.Time
	event *pool.Event
	start bool
}

func (t *tracer) journeyEnd(end journeyEnd, long time.Duration) {
	what, phase := "result of ", "f"
	if end.start {
		what, phase = "submit ", "s"
	}
	t.slice(parentTrack, "parent", what+end.event.Function, end.at, end.at.Add(long), map[string]any{"task": taskID(end.event.Task)})
	t.flow(phase, parentTrack, end.event.Task, end.at)
}

// noteOf says what happened in the parent.
func noteOf(e *pool.Event) string {
	switch e.Kind {
	case pool.EventDied:
		return fmt.Sprintf("worker %d ended: %s", e.Worker, e.Reason)
	case pool.EventLaunched:
		return fmt.Sprintf("worker %d started", e.Worker)
	case pool.EventResized:
		return fmt.Sprintf("resized to %d workers", e.N)
	case pool.EventRebuilt:
		return "new memory"
	}
	return string(e.Kind)
}
