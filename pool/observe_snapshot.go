package pool

import (
	"errors"
	"fmt"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/shm"
)

// A glance is a snapshot that is being made.
type glance struct {
	o   *Observer
	s   *Snapshot
	now int64 // by sys.Nanotime
	c   telemetry.Common
	ctl *control

	areas []workerArea
	runs  map[uint32]int // incarnation of each worker to its index in s.Workers
}

// Snapshot looks at everything once. It fails only if the memory cannot be read.
func (o *Observer) Snapshot() (*Snapshot, error) {
	l := &glance{o: o, s: new(Snapshot), runs: map[uint32]int{}}
	for _, part := range []func() error{l.board, l.deaths, l.workers, l.slots, l.functions, l.memory} {
		if err := part(); err != nil {
			return nil, fmt.Errorf("observe pool: %w", err)
		}
	}
	return l.s, nil
}

// clock returns the time of day at a moment of the clock that the pool goes by.
func clock(b *telemetry.Board, at int64) time.Time { return time.Unix(0, at-b.Born+b.Wall) }

func (l *glance) board() (err error) {
	if l.c, err = l.o.common(); err != nil {
		return err
	}
	b, s := l.c.Board, l.s
	l.now = l.o.now()
	s.Name, s.Parent, s.Born, s.Taken = b.Name(), owner.ID(b.Parent).Pid(), time.Unix(0, b.Wall), clock(b, l.now)
	s.State = l.o.stateOf(b)
	s.Counters = countersOf(b)
	s.Outstanding, s.Wanted = b.Count(telemetry.Outstanding), b.Count(telemetry.Wanted)
	faults, other := l.c.Faults.List()
	for _, f := range faults {
		s.Faults = append(s.Faults, Fault{l.o.function(f.Func), f.Text, f.Count, time.Unix(0, f.First), time.Unix(0, f.Last)})
	}
	s.Untold = other
	return nil
}

func (o *Observer) stateOf(b *telemetry.Board) PoolState {
	switch left := b.Left(); {
	case left == telemetry.Closed:
		return PoolClosed
	case left == telemetry.Moved:
		return PoolMoved
	case !o.alive(owner.ID(b.Parent)):
		return PoolDead
	}
	return PoolOpen
}

func countersOf(b *telemetry.Board) Counters {
	n := b.Count
	return Counters{Accepted: n(telemetry.Accepted), Succeeded: n(telemetry.Succeeded), Failed: n(telemetry.Failed),
		Cancelled: n(telemetry.Cancelled), Dropped: n(telemetry.Dropped), Timeouts: n(telemetry.Timeouts),
		Retried: n(telemetry.Retried), Started: n(telemetry.Started), Deaths: n(telemetry.Deaths),
		Rebuilds: n(telemetry.Rebuilds), Woken: n(telemetry.Woken),
		ArgumentBytes: n(telemetry.ArgumentBytes), ResultBytes: n(telemetry.ResultBytes)}
}

func (l *glance) workers() error {
	front, err := l.o.read(l.o.off.control, ctlBytes)
	if err != nil {
		return err
	}
	l.ctl = layout.MustAt[control](front, 0)
	areas, err := l.o.read(l.o.off.workers, int64(l.o.geo.workers)*workerBytes)
	if err != nil {
		return err
	}
	l.areas = layout.MustSlice[workerArea](areas, 0, l.o.geo.workers)
	for i := range l.c.Desks {
		if d := &l.c.Desks[i]; d.Starts.Load() > 0 {
			l.s.Workers = append(l.s.Workers, l.worker(i, d))
			l.runs[l.s.Workers[len(l.s.Workers)-1].Incarnation] = len(l.s.Workers) - 1
		}
	}
	return nil
}

func (l *glance) worker(i int, d *telemetry.Desk) WorkerSnapshot {
	id := owner.ID(d.Process.Load())
	w := WorkerSnapshot{Place: i, Pid: id.Pid(), Alive: l.o.alive(id), State: telemetry.DeskState(d.State.Load()).String(),
		Incarnation: uint32(d.Incarnation.Load()), Since: clock(l.c.Board, d.Since.Load()), Starts: d.Starts.Load(), Ends: map[string]uint64{},
		Ran: d.Ran.Load(), Errors: d.Errors.Load(), Batches: d.Batches.Load(), Stolen: d.Stolen.Load(), Spins: d.Spins.Load(),
		Naps: d.Naps.Load(), Sleeps: d.Sleeps.Load(), Timed: d.Timed.Load(), Busy: time.Duration(d.Busy.Load())}
	for _, e := range telemetry.EndReasons() {
		if n := d.Ends[e].Load(); n > 0 {
			w.Ends[e.String()] = n
		}
	}
	area := &l.areas[i]
	for k := range area.batch {
		if area.batch[k].Load() != 0 {
			w.Taken++
		}
	}
	if telemetry.DeskState(d.State.Load()) == telemetry.Serving {
		w.Doing = l.doing(i)
	}
	return w
}

// doing says what a worker does that runs no task.
func (l *glance) doing(i int) string {
	in := func(b bitmap) bool { return b[i/64].Load()>>(i%64)&1 == 1 }
	switch idle := &l.ctl.idle; {
	case in(idle.sleepers[:]):
		return "sleeping"
	case in(idle.nappers[:]):
		return "napping"
	}
	return "looking"
}

// slotsAtOnce bounds how many slots are in this process's memory.
const slotsAtOnce = 1024

func (l *glance) slots() error {
	l.s.Queue.Slots = l.o.geo.slots
	return l.o.eachSlot(l.slot)
}

// eachSlot calls look with a copy of each slot, and its stamp.
func (o *Observer) eachSlot(look func(i uint32, s *slot, stamp int64) error) error {
	for first := 0; first < o.geo.slots; first += slotsAtOnce {
		k := min(slotsAtOnce, o.geo.slots-first)
		mem, err := o.read(o.off.slots+int64(first)*slotBytes, int64(k)*slotBytes)
		if err != nil {
			return err
		}
		stamps, err := o.read(o.off.stamps+int64(first)*8, int64(k)*8)
		if err != nil {
			return err
		}
		slots, when := layout.MustSlice[slot](mem, 0, k), layout.MustSlice[int64](stamps, 0, k)
		for i := range slots {
			if err := look(uint32(first+i), &slots[i], when[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *glance) slot(i uint32, s *slot, stamp int64) error {
	q, w := &l.s.Queue, word(s.word.Load())
	switch w.state() {
	case queued:
		q.Waiting++
		if s.stamped == 1 {
			q.Oldest = max(q.Oldest, time.Duration(l.now-stamp))
		}
	case running, doomed:
		if w.state() == running {
			q.Running++
		} else {
			q.Stopping++
		}
		return l.running(i, s, w)
	case done, failed:
		q.Ended++
	default:
		q.Free++
	}
	return nil
}

// running notes what a worker does.
func (l *glance) running(i uint32, s *slot, w word) error {
	at, known := l.runs[w.worker()]
	if !known {
		return nil
	}
	worker := &l.s.Workers[at]
	if order(l.areas[worker.Place].current.Load()).withReason(0) != makeOrder(i, w.gen(), 0) {
		return nil // it has claimed another since
	}
	began := int64(l.c.Desks[worker.Place].Clock.Load())
	t := &RunningTask{ID: uint64(makeTaskID(i, w.gen())), Function: l.o.function(s.fn), Items: 1,
		Since: clock(l.c.Board, began), Retry: s.retried == 1}
	if s.argKind == chunked {
		p, err := l.o.read(l.o.off.near+int64(i)*2*nearBytes, nearBytes)
		if err != nil {
			return err
		}
		t.Items, t.Done = s.argLen, layout.MustAt[progress](p, 0).next.Load()
	}
	worker.Task, worker.Doing = t, "running"
	if l.areas[worker.Place].appetite().state() != sated {
		worker.Doing = "hungry"
	}
	return nil
}

// functions adds up what the workers have noted.
func (l *glance) functions() error {
	for _, name := range l.o.names {
		l.s.Functions = append(l.s.Functions, FunctionTimes{Name: name})
	}
	for i := range l.s.Workers {
		if err := l.records(l.s.Workers[i].Place); err != nil {
			return err
		}
	}
	return nil
}

// functionsAtOnce bounds how many histograms are in this process's memory besides those that it keeps.
const functionsAtOnce = 64

func (l *glance) records(place int) error {
	n, off := l.o.geo.functions, l.o.records(place)
	for first := 0; first < 2*n; first += functionsAtOnce {
		k := min(functionsAtOnce, 2*n-first)
		at, size := off+telemetry.HistogramsSize(first), telemetry.HistogramsSize(k)
		if !l.o.holes(at, size) {
			continue
		}
		mem, err := l.o.read(at, size)
		if err != nil {
			return err
		}
		for j := range k {
			h := layout.MustAt[telemetry.Histogram](mem, telemetry.HistogramsSize(j))
			if f := first + j; f < n {
				l.s.Functions[f].Runs.t.Read(h)
			} else {
				l.s.Functions[f-n].Waits.t.Read(h)
			}
		}
	}
	return nil
}

// memory looks at the arena, which is missing in crash files, and may be anything in memory that somebody has written over.
func (l *glance) memory() error {
	st, classes, _, err := shm.Inspect(l.o.file, l.o.off.arena, shm.ArenaSize(l.o.geo.memory, l.o.geo.page))
	if !errors.Is(err, shm.ErrNoArena) {
		l.s.Memory = MemorySnapshot{st, classes}
		return err
	}
	return nil
}
