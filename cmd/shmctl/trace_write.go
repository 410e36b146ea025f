package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// A traceEvent is a line of a trace, as the Trace Event Format has it.
type traceEvent struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat,omitempty"`
	Phase string         `json:"ph"`
	At    micros         `json:"ts"`
	Dur   *micros        `json:"dur,omitempty"`
	Pid   int            `json:"pid"`
	Tid   int            `json:"tid"`
	ID    string         `json:"id,omitempty"`
	Bind  string         `json:"bp,omitempty"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// micros are microseconds since the trace begins, to the nanosecond.
type micros time.Duration

func (m micros) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(m)/1e3, 'f', 3, 64), nil
}

// The parent's track is the first, those of the workers follow.
const (
	parentTrack = 1
	firstWorker = 2
)

// A tracer writes a trace.
type tracer struct {
	w     *bufio.Writer
	err   error
	first bool
	base  time.Time
	pid   int
	known map[uint64]known // by task
}

// known says what is known of a task: arrows need both.
type known struct{ run, journey bool }

func (k known) all() bool { return k.run && k.journey }

func knownOf(r *recording) map[uint64]known {
	of := map[uint64]known{}
	for _, e := range r.parent.events {
		if e.Kind == pool.EventJourney {
			of[e.Task] = known{journey: true}
		}
	}
	for _, t := range r.workers {
		for _, e := range t.events {
			if k := of[e.Task]; e.Kind == pool.EventRan || e.Kind == pool.EventErred {
				k.run = true
				of[e.Task] = k
			}
		}
	}
	return of
}

func writeTrace(w io.Writer, r *recording) error {
	begin, end := r.span()
	t := &tracer{w: bufio.NewWriter(w), first: true, base: begin, pid: max(r.pool.Parent, 1), known: knownOf(r)}
	t.text(`{"displayTimeUnit":"ns","otherData":`)
	t.json(map[string]any{"pool": r.pool.Name, "begin": begin, "end": end, "state": r.pool.State,
		"events": r.events, "missed_events": r.missed(), "tasks_sampled_away": r.untold()})
	t.text(`,"traceEvents":[`)
	t.names(r)
	for _, place := range slices.Sorted(maps.Keys(r.workers)) {
		t.worker(place, r.workers[place])
	}
	t.unfinished(r.pool)
	t.parent(&r.parent)
	for _, one := range r.samples {
		t.counters(one)
	}
	t.text("\n]}\n")
	if t.err != nil {
		return t.err
	}
	return t.w.Flush()
}

func (t *tracer) text(s string) {
	if t.err == nil {
		_, t.err = t.w.WriteString(s)
	}
}

func (t *tracer) json(v any) {
	text, err := json.Marshal(v)
	t.err = cmp.Or(t.err, err)
	t.text(string(text))
}

func (t *tracer) event(e traceEvent) {
	e.Pid = t.pid
	if !t.first {
		t.text(",")
	}
	t.first = false
	t.text("\n")
	t.json(&e)
}

func (t *tracer) at(when time.Time) micros { return micros(when.Sub(t.base)) }

func (t *tracer) slice(tid int, cat, name string, begin, end time.Time, args map[string]any) {
	d := micros(max(end.Sub(begin), 0))
	t.event(traceEvent{Name: name, Cat: cat, Phase: "X", At: t.at(begin), Dur: &d, Tid: tid, Args: args})
}

func (t *tracer) names(r *recording) {
	name := func(kind string, tid int, args map[string]any) {
		t.event(traceEvent{Name: kind, Phase: "M", Tid: tid, Args: args})
	}
	name("process_name", 0, map[string]any{"name": "pool " + printable(r.pool.Name)})
	name("thread_name", parentTrack, map[string]any{"name": "parent"})
	name("thread_sort_index", parentTrack, map[string]any{"sort_index": 0})
	pids := map[int]int{}
	for _, w := range r.pool.Workers {
		pids[w.Place] = w.Pid
	}
	for place := range r.workers {
		title := fmt.Sprintf("worker %d", place)
		if pids[place] != 0 {
			title += fmt.Sprintf(" (now process %d)", pids[place])
		}
		name("thread_name", place+firstWorker, map[string]any{"name": title})
		name("thread_sort_index", place+firstWorker, map[string]any{"sort_index": place + 1})
	}
}

// worker writes what happened at one place among the workers.
func (t *tracer) worker(place int, tr *track) {
	tid := place + firstWorker
	for _, e := range tr.events {
		args := map[string]any{"worker": e.Worker}
		if e.Untold > 0 {
			args["tasks_sampled_away_before"] = e.Untold
		}
		switch e.Kind {
		case pool.EventRan, pool.EventErred:
			t.run(tid, &e, args)
		case pool.EventSlept:
			t.slice(tid, "idle", "asleep", e.Begin, e.End, args)
		default:
			t.event(traceEvent{Name: string(e.Kind), Phase: "i", At: t.at(e.End), Tid: tid, Scope: "t", Args: args})
		}
	}
	t.gap(tid, tr)
}

func (t *tracer) run(tid int, e *pool.Event, args map[string]any) {
	args["task"] = taskID(e.Task)
	if e.Wait >= 0 {
		args["waited_us"] = micros(e.Wait)
	}
	if e.N > 1 {
		args["items"] = e.N
	}
	name := e.Function
	if e.Kind == pool.EventErred {
		name += " (error)"
	}
	t.slice(tid, "task", name, e.Begin, e.End, args)
	t.flow("t", tid, e.Task, e.Begin)
}

// gap says how many events are missing from a track.
func (t *tracer) gap(tid int, tr *track) {
	if tr.missed > 0 && len(tr.events) > 0 {
		t.event(traceEvent{Name: fmt.Sprintf("%d events of this track were overwritten unread", tr.missed), Phase: "i", At: t.at(tr.events[0].Begin), Tid: tid, Scope: "t"})
	}
}

// unfinished writes the tasks that run when the trace ends.
func (t *tracer) unfinished(snap *pool.Snapshot) {
	for _, w := range snap.Workers {
		if w.Task != nil {
			t.slice(w.Place+firstWorker, "task", w.Task.Function+" (not finished)", w.Task.Since, snap.Taken,
				map[string]any{"task": taskID(w.Task.ID), "worker": w.Incarnation})
		}
	}
}

// flow writes an end or a bend of an arrow.
func (t *tracer) flow(phase string, tid int, task uint64, when time.Time) {
	if !t.known[task].all() {
		return
	}
	e := traceEvent{Name: "task", Cat: "flow", Phase: phase, At: t.at(when), Tid: tid, ID: taskID(task)}
	if phase == "f" {
		e.Bind = "e"
	}
	t.event(e)
}

func taskID(id uint64) string { return fmt.Sprintf("%#x", id) }

func (t *tracer) counters(s sample) {
	at := t.at(s.at)
	count := func(name string, args map[string]any) {
		t.event(traceEvent{Name: name, Phase: "C", At: at, Args: args})
	}
	count("tasks", map[string]any{"waiting": s.waiting, "running": s.running})
	count("outstanding", map[string]any{"tasks": s.outstanding})
	count("serving workers", map[string]any{"workers": s.serving})
	count("memory in blocks", map[string]any{"bytes": s.memory})
}
