package pool

import (
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// A diary is what a worker tells of itself: all that it counts, and of its tasks those that the sampler of their function, or the
// parent's, picks. The clock is read twice for each of those.
type diary struct {
	desk        *telemetry.Desk
	own         telemetry.Own
	events      telemetry.Recorder
	incarnation uint32
	samplers    []sampler // by function

	untold uint64 // tasks and items since the last event
	slept  int64  // when the sleep began

	clock int64 // the last reading
	pace  tickPace
	since uint64 // ticks when the task before ended; 0: the worker has looked for work since

	// The task that runs.
	fn    uint32
	ran   int   // tasks and items before
	began int64 // 0: it is timed only if it takes long
	wait  int64 // that it had before, or less than 0
}

// openDiary begins worker i's, behind those of its predecessors.
func openDiary(m *memory, i int, incarnation uint32) diary {
	d := diary{desk: &m.told.Desks[i], own: m.records(i), incarnation: incarnation, samplers: make([]sampler, m.geo.functions)}
	d.events, _ = d.own.Record() // if somebody has written over it since it was prepared, there are none
	return d
}

// begin is called before the task that was claimed runs.
func (d *diary) begin(w *worker) {
	if !tells {
		return
	}
	s := w.out.slot
	d.fn, d.ran, d.began, d.wait = s.fn, w.ran, 0, -1
	if int(d.fn) >= len(d.samplers) {
		return
	}
	if !d.samplers[d.fn].due() && s.stamped == 0 && d.pace.known() {
		if d.since == 0 {
			d.since = sys.Ticks()
		}
		return
	}
	d.began = d.readClock()
	if s.stamped != 0 {
		d.wait = max(d.began-int64(w.mem.stamps[w.out.index].Load()), 0) // pairs with the store in Pool.stamp: the slot's word hands it over
		d.own.Waits[d.fn].Add(time.Duration(d.wait), 1)
	}
}

// end is called when it has ended, and what it has left belongs to the parent.
func (d *diary) end(w *worker, failed bool) {
	n := uint64(w.ran - d.ran)
	telemetry.Raise(&d.desk.Ran, n)
	if failed {
		telemetry.Raise(&d.desk.Errors, 1)
	}
	if !tells || d.fn >= uint32(len(d.samplers)) {
		d.untold += n
		return
	}
	now := int64(0)
	if d.began == 0 {
		before := d.since
		d.since = sys.Ticks()
		ticks := d.since - before
		if !d.pace.isLong(ticks) {
			d.untold += n
			return
		}
		last := d.clock
		now = d.readClock()
		d.began = max(now-d.pace.nanoseconds(ticks), last)
	} else {
		now = d.readClock()
		d.since = d.pace.learn(now)
	}
	took := now - d.began
	each := time.Duration(took / int64(max(n, 1)))
	telemetry.Raise(&d.desk.Timed, n)
	telemetry.Raise(&d.desk.Busy, uint64(took))
	d.own.Runs[d.fn].Add(each, n)
	d.samplers[d.fn].took(time.Duration(took))
	e := telemetry.Event{Kind: telemetry.Ran, At: now, For: took, Wait: d.wait, Task: uint64(makeTaskID(w.out.index, w.gen)),
		Func: d.fn, Worker: d.incarnation, N: uint32(n), Untold: d.untold}
	if failed {
		e.Kind = telemetry.Erred
	}
	d.untold = 0
	d.events.Write(&e)
}

// event keeps something that took so long.
func (d *diary) event(k telemetry.Kind, took int64) {
	if tells {
		d.events.Write(&telemetry.Event{Kind: k, At: sys.Nanotime(), For: took, Wait: -1, Worker: d.incarnation, Untold: d.untold})
		d.untold = 0
	}
}

// readClock returns the time, before which what runs next has not begun.
func (d *diary) readClock() int64 {
	d.clock = sys.Nanotime()
	telemetry.Show(&d.desk.Clock, uint64(d.clock)) // read by whoever looks on
	return d.clock
}

// rest is called when the worker has nothing to do.
func (d *diary) rest() { d.since = 0 }

func (d *diary) beginSleep() {
	telemetry.Raise(&d.desk.Sleeps, 1)
	if tells {
		d.slept = sys.Nanotime()
	}
}

func (d *diary) endSleep() {
	if tells {
		d.event(telemetry.Slept, d.readClock()-d.slept)
	}
}
