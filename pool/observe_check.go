package pool

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/ring"
	"github.com/shmkit/shmkit/shm"
)

// checkLooks is how often in a row something must be wrong in the same way: of what others just change, one look may see one half before and
// one after.
const checkLooks = 3

// Check looks for what must not be in the memory of a pool, whatever it does, and returns what it finds, a line for each; it is empty
// for a pool in which nothing is wrong. A pool itself looks for what would harm it, and gets new memory then. The error says that the memory cannot
// be read.
func (o *Observer) Check() (broken []string, err error) {
	for turn := range checkLooks {
		found, err := o.check()
		if err != nil {
			return nil, fmt.Errorf("check pool: %w", err)
		}
		if turn == 0 {
			broken = found
		}
		broken = slices.DeleteFunc(broken, func(line string) bool { return !slices.Contains(found, line) })
		if len(broken) == 0 {
			break
		}
	}
	return broken, nil
}

// An inquiry is one look for what must not be.
type inquiry struct {
	*glance
	broken []string
	placed map[uint32]bool // incarnations that have a place
}

func (o *Observer) check() ([]string, error) {
	a := inquiry{glance: &glance{o: o, s: new(Snapshot), runs: map[uint32]int{}}, placed: map[uint32]bool{}}
	for _, part := range []func() error{a.board, a.workers, a.books, a.places, a.controls, a.tasks, a.hints, a.rings, a.arena} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return a.broken, nil
}

// mostBroken bounds what is said of memory in which nothing is right.
const mostBroken = 64

func (a *inquiry) unless(right bool, format string, args ...any) {
	if !right && len(a.broken) < mostBroken {
		a.broken = append(a.broken, fmt.Sprintf(format, args...))
	}
}

func (a *inquiry) books() error {
	c, s := &a.s.Counters, a.s
	a.unless(s.Outstanding <= uint64(a.o.geo.slots), "%d tasks are outstanding, there are %d slots", s.Outstanding, a.o.geo.slots)
	a.unless(s.Wanted <= uint64(a.o.geo.workers), "%d workers are wanted, there are %d places", s.Wanted, a.o.geo.workers)
	ended := c.Succeeded + c.Failed + c.Cancelled
	a.unless(ended <= c.Accepted, "%d tasks have ended, but only %d were accepted", ended, c.Accepted)
	a.unless(c.Dropped <= c.Failed, "%d tasks were dropped, but only %d have failed", c.Dropped, c.Failed)
	a.unless(c.Timeouts <= c.Cancelled, "the time of %d tasks was up, but only %d were cancelled", c.Timeouts, c.Cancelled)
	a.unless(c.Deaths <= c.Started, "%d workers have died, but only %d were started", c.Deaths, c.Started)
	return nil
}

func (a *inquiry) places() error {
	for i := range a.c.Desks {
		d := &a.c.Desks[i]
		state, ends := telemetry.DeskState(d.State.Load()), uint64(0)
		for k := range d.Ends {
			ends += d.Ends[k].Load()
		}
		a.unless(state <= telemetry.Undead, "place %d is in state %d", i, state)
		a.unless(ends <= d.Starts.Load(), "place %d: %d workers have ended, only %d were started", i, ends, d.Starts.Load())
		a.unless(d.Errors.Load() <= d.Ran.Load(), "worker %d: %d errors in %d tasks", i, d.Errors.Load(), d.Ran.Load())
		if n := d.Incarnation.Load(); d.Starts.Load() > 0 {
			a.unless(n > 0 && n <= maxIncarnation && !a.placed[uint32(n)], "place %d has incarnation %d", i, n)
			a.placed[uint32(n)] = true
		}
		for k := range a.areas[i].batch {
			at := a.areas[i].batch[k].Load()
			a.unless(at <= uint64(a.o.geo.slots) && (k > 0 || at == 0), "worker %d has slot %d as number %d of its batch", i, at, k)
		}
		a.unless(bootStatus(a.areas[i].status.Load()) <= retired, "worker %d is in state %d", i, a.areas[i].status.Load())
	}
	return nil
}

func (a *inquiry) controls() error {
	a.unless(a.ctl.stop.Load() <= 1, "stop is %d", a.ctl.stop.Load())
	a.unless(a.ctl.asleep.Load() <= 1, "asleep is %d", a.ctl.asleep.Load())
	a.unless(a.ctl.present.Load() <= uint32(a.o.geo.workers), "%d workers are present, there are %d places", a.ctl.present.Load(), a.o.geo.workers)
	for name, set := range map[string]bitmap{"sleepers": a.ctl.idle.sleepers[:], "spinners": a.ctl.idle.spinners[:], "nappers": a.ctl.idle.nappers[:]} {
		for w := range set {
			inside := min(max(a.o.geo.workers-64*w, 0), 64)
			a.unless(set[w].Load()>>inside == 0 || inside == 64, "%s: there are not so many workers: word %d is %#x", name, w, set[w].Load())
		}
	}
	return nil
}

func (a *inquiry) tasks() error {
	return a.o.eachSlot(func(i uint32, s *slot, _ int64) error {
		w := word(s.word.Load())
		a.unless(w.state() <= doomed, "slot %d: %v", i, w)
		if w.state() == free || w.state() > doomed {
			return nil
		}
		a.unless(s.fn < uint32(len(a.o.names)), "slot %d: function %d of %d", i, s.fn, len(a.o.names))
		a.unless(s.argKind <= chunked, "slot %d: an argument of kind %d", i, s.argKind)
		a.unless(s.argKind != inline || s.argLen <= inlineBytes, "slot %d: an argument of %d bytes in the slot", i, s.argLen)
		a.unless(s.argKind != near || s.argLen <= nearBytes, "slot %d: an argument of %d bytes beside the slot", i, s.argLen)
		if w.state() == queued {
			a.unless(w.worker() == 0, "slot %d: %v", i, w)
			return nil
		}
		a.unless(a.placed[w.worker()], "slot %d: %v, which has no place", i, w)
		if w.state() == done || w.state() == failed {
			a.unless(s.resKind <= distant, "slot %d: a result of kind %d", i, s.resKind)
			a.unless(s.resKind != inline || s.resLen <= inlineBytes, "slot %d: a result of %d bytes in the slot", i, s.resLen)
			a.unless(s.resKind != near || s.resLen <= nearBytes, "slot %d: a result of %d bytes beside the slot", i, s.resLen)
		}
		return nil
	})
}

// hints looks at the ready ring, into which only the parent puts.
func (a *inquiry) hints() error {
	size := ring.HintsSize(a.o.geo.slots)
	for off := int64(layout.Line); off < size; off += dumpAtOnce {
		mem, err := a.o.read(a.o.off.ready+off, min(dumpAtOnce, size-off))
		if err != nil {
			return err
		}
		for k, cell := range layout.MustSlice[uint64](mem, 0, len(mem)/8) {
			a.unless(uint32(cell) < uint32(a.o.geo.slots), "ready ring: cell %d names slot %d", off/8-layout.Line/8+int64(k), uint32(cell))
		}
	}
	return nil
}

// rings looks whether the events can be read.
func (a *inquiry) rings() error {
	play := func(whose string, p *Player, err error) {
		if err == nil {
			_, _, err = p.Next()
		}
		a.unless(err == nil, "events of %s: %v", whose, err)
	}
	p, err := a.o.ParentEvents()
	play("the parent", p, err)
	for _, w := range a.s.Workers {
		p, err := a.o.WorkerEvents(w.Place)
		play(fmt.Sprintf("worker %d", w.Place), p, err)
	}
	return nil
}

func (a *inquiry) arena() error {
	if a.o.Death() != nil { // whose file does not have it
		return nil
	}
	st, _, odd, err := shm.Inspect(a.o.file, a.o.off.arena, shm.ArenaSize(a.o.geo.memory, a.o.geo.page))
	if errors.Is(err, shm.ErrNoArena) {
		a.unless(false, "%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, line := range odd {
		a.unless(false, "arena: %s", line)
	}
	a.unless(st.Blocks+st.Slack+st.Free == st.Size, "arena: %v", st)
	return nil
}
