package telemetry

import (
	"cmp"
	"slices"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

const (
	maxDeaths  = 16
	deathText  = 2*layout.Line - 64
	lastEvents = 9
	deathBytes = 6 * layout.Line
)

// A death is the end of a worker that should have gone on. Written by the parent, under its lock; who looks on takes it only if it is the same at
// two looks.
type death struct {
	_      structs.HostLayout
	number atomic.Uint64 // from 1 on; 0: nothing is here, or it is being written
	at     int64         // nanoseconds since 1970
	task   uint64        // 0: none
	began  int64         // the task, not earlier: nanoseconds since 1970
	fn     uint32        // the task's function
	why    uint32        // an End
	place  uint32
	worker uint32 // its incarnation
	pid    uint32
	n      uint32 // bytes of text
	k      uint32 // events
	_      uint32
	text   [deathText]byte
	events [lastEvents]Event // the oldest first
	_      [deathBytes - 2*layout.Line - lastEvents*eventBytes]byte
}

// Obituaries are those of the last deaths of a pool.
type Obituaries struct {
	_    structs.HostLayout
	list [maxDeaths]death // that of number n at index n modulo their number
}

const deathsBytes = maxDeaths * deathBytes

var (
	_ = layout.Sized[death](deathBytes)
	_ = layout.Sized[Obituaries](deathsBytes)
)

// A Death is how a worker has ended, and what it was doing.
type Death struct {
	Number uint64 // of the pool's deaths, from 1 on
	At     int64  // nanoseconds since 1970
	Place  int
	Worker uint32 // its incarnation
	Pid    int
	Why    End
	Text   string // how it ended, or the beginning
	Task   uint64 // that it ran; 0: none
	Func   uint32 // the task's
	Began  int64  // the task, not earlier: nanoseconds since 1970
	Last   []Event
}

// A DeathLog is the parent's own record, which it shows in Obituaries.
type DeathLog struct {
	shown *Obituaries
	log   []Death // the last of them
	count uint64
}

// ShowIn has the log written to d, which is empty, from now on.
func (l *DeathLog) ShowIn(d *Obituaries) {
	l.shown = d
	for i := range l.log {
		l.show(&l.log[i])
	}
}

// Add notes a death, and gives it its number.
func (l *DeathLog) Add(d Death) {
	l.count++
	d.Number = l.count
	if len(l.log) == maxDeaths {
		l.log = slices.Delete(l.log, 0, 1)
	}
	l.log = append(l.log, d)
	l.show(&d)
}

func (l *DeathLog) show(d *Death) {
	to := &l.shown.list[d.Number%maxDeaths]
	to.number.Store(0)
	to.at, to.task, to.began, to.fn = d.At, d.Task, d.Began, d.Func
	to.why, to.place, to.worker, to.pid = uint32(d.Why), uint32(d.Place), d.Worker, uint32(d.Pid)
	to.n, to.k = uint32(copy(to.text[:], d.Text)), uint32(copy(to.events[:], d.Last))
	to.number.Store(d.Number) // hands the rest over; pairs with the load in List
}

// List returns what there is, the oldest first, of what is the same in another look at the same memory: the rest is being written.
func (d *Obituaries) List(again *Obituaries) (list []Death) {
	for i := range d.list {
		one := &d.list[i]
		number := one.number.Load() // pairs with the store in show
		if number == 0 || !slices.Equal(layout.Bytes(one), layout.Bytes(&again.list[i])) {
			continue
		}
		list = append(list, Death{Number: number, At: one.at, Place: int(one.place), Worker: one.worker, Pid: int(one.pid), Why: End(min(one.why, 255)),
			Text: string(one.text[:min(one.n, deathText)]), Task: one.task, Func: one.fn, Began: one.began, Last: slices.Clone(one.events[:min(one.k, lastEvents)])})
	}
	slices.SortFunc(list, func(a, b Death) int { return cmp.Compare(a.Number, b.Number) })
	return list
}

// Last returns the last events of a worker that has ended, by its incarnation.
func (o *Own) Last(worker uint32) (last []Event) {
	p, err := o.Play()
	for n := 0; err == nil && n < workerEvents; n++ { // no more, whatever others write there
		e, _, ok := p.Next()
		if !ok {
			break
		}
		if e.Worker != worker {
			continue
		}
		if len(last) == lastEvents {
			last = slices.Delete(last, 0, 1)
		}
		last = append(last, e)
	}
	return last
}
