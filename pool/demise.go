package pool

import (
	"time"

	"github.com/shmkit/shmkit/internal/telemetry"
)

// A demise is what is told of a death: in the pool's memory, and in a crash file.
type demise struct {
	telemetry.Death
	function string // of the task
}

// demise notes how m's worker has ended and what it was doing, before its task is taken away; nil if it was to end. The caller holds mu.
func (p *Pool) demise(m *member, died *WorkerDiedError) *demise {
	area := &p.mem.workers[m.index]
	if p.ending() || p.moving != nil || bootStatus(area.status.Load()) == retired { // pairs with the store in worker.retire
		return nil
	}
	d := &demise{Death: telemetry.Death{At: time.Now().UnixNano(), Place: m.index, Worker: m.incarnation, Pid: died.Pid, Text: died.kind()}}
	own := p.mem.records(m.index)
	d.Last = own.Last(m.incarnation)
	o := order(area.current.Load()) // pairs with the store in worker.claim, in serve.go
	if i := o.slot(); int(i) < len(p.entries) && p.entries[i].live && p.entries[i].gen == o.gen() {
		w := word(p.mem.slots[i].word.Load())
		if w.worker() == m.incarnation && w.gen() == o.gen() && (w.state() == running || w.state() == doomed) {
			d.Task, d.Func, d.function = uint64(makeTaskID(i, o.gen())), p.entries[i].def.id, p.entries[i].def.name
			d.Began = int64(p.desk(m).Clock.Load()) + p.telling.wall
		}
	}
	return d
}

// tellDemise keeps d, unless it is nil, as a death for that reason.
func (p *Pool) tellDemise(d *demise, why telemetry.End) {
	if d != nil {
		d.Why = why
		p.telling.deaths.Add(d.Death)
	}
}

// death is what a crash file says of d.
func (d *demise) death(died *WorkerDiedError) *Death {
	out := &Death{Place: d.Place, Incarnation: d.Worker, Pid: died.Pid, At: time.Unix(0, d.At), Text: d.Text, ExitCode: died.ExitCode, Signal: died.Signal,
		Traceback: died.Traceback, Task: d.Task, Function: d.function}
	if d.Task != 0 {
		out.Began = time.Unix(0, d.Began)
	}
	return out
}
