package pool

import (
	"errors"
	"fmt"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// Somebody from outside asks the parent for something by a word on its board: see telemetry.Request. The reaper looks at it whenever it
// looks at anything, and each time before it sleeps.

// ErrKilled is what errors.Is finds in the error of a task that was ended by an [Operator]: by itself, or with its worker.
var ErrKilled = errors.New("killed on request")

// serveRequest does what somebody asks for. Whatever stands in the word is harmless: it names a task or a worker that is there, or none. The
// caller holds mu.
func (p *Pool) serveRequest() {
	if p.phase == gone || p.moving != nil { // who asks is told that the pool has moved
		return
	}
	word := &p.mem.told.Board.Requests
	r, ok := word.Pending()
	if !ok {
		return
	}
	a := telemetry.Ending
	if p.phase < stopping && p.broken == nil {
		a = p.serve(r)
	}
	if p.moving == nil { // as it is if the memory made no sense
		word.Reply(r, a) // Killed here: the parent's end is seen by whoever waits
	}
}

func (p *Pool) serve(r telemetry.Request) telemetry.Act {
	switch r.Act() {
	case telemetry.KillTask:
		id := published | taskID(r.Task())
		return p.killTask(id.slot(), id.gen())
	case telemetry.KillWorker, telemetry.ShowStacks, telemetry.RecordProfile:
	default:
		return telemetry.Unknown
	}
	m := p.memberOf(r.Incarnation())
	switch {
	case m == nil || m.limbo || m.proc == nil && !m.spawning || m.proc != nil && isDead(m.proc):
		return telemetry.Missing
	case r.Act() == telemetry.KillWorker:
		p.killOnRequest(m)
		return telemetry.Done
	}
	return p.inquire(m, r)
}

// killOnRequest ends a worker. Its task fails, or begins again, as after any death.
func (p *Pool) killOnRequest(m *member) {
	if !m.doomed {
		m.why = telemetry.Requested
	}
	p.kill(m)
}

// fate is why a worker was ended, if its tasks are not told by themselves.
func (m *member) fate() error {
	if m.why == telemetry.Requested {
		return ErrKilled
	}
	return nil
}

// killTask ends a task: one that waits without having run, one that runs with its worker. Of a chunk of a Map, it is the item that runs, or is next, that fails: those
// behind it are sent again, as after any failure.
func (p *Pool) killTask(i uint32, gen uint64) telemetry.Act {
	if int(i) >= len(p.entries) {
		return telemetry.Missing
	}
	e := &p.entries[i]
	if !e.live || e.gen != gen {
		return telemetry.Missing
	}
	s := &p.mem.slots[i]
	if s.word.CompareAndSwap(uint64(makeWord(queued, 0, gen)), uint64(makeWord(free, 0, gen))) { // pairs with the CAS in worker.claim
		p.endQueued(i)
		return telemetry.Done
	}
	w := word(s.word.Load()) // who has claimed it keeps it: it runs, or has ended
	m := p.memberOf(w.worker())
	switch {
	case w.gen() != gen || m == nil || m.proc == nil && !m.spawning: // one that is just being started may run already
		return telemetry.Missing
	case w.state() == doomed: // it dies already
		return telemetry.Done
	case w.state() != running:
		return telemetry.Missing
	case !s.word.CompareAndSwap(uint64(w), uint64(makeWord(doomed, w.worker(), gen))): // pairs with the CAS in worker.finish
		return telemetry.Missing // it has just ended, and its worker lives on
	}
	e.retries = 0
	e.ordeal = &ordeal{deaths: e.deaths(), fate: ErrKilled}
	p.killOnRequest(m)
	return telemetry.Done
}

// endQueued ends the task in slot i, which no worker can claim any more.
func (p *Pool) endQueued(i uint32) {
	e := &p.entries[i]
	pr := e.task
	if t := pr.part(); t != nil && !p.endPart(i, t, 0) {
		_ = p.corrupted("a chunk that has not begun has results")
		return
	}
	p.takeBack(i)
	p.retire(i)
	p.ended()
	err := fmt.Errorf("%s: %w before it began", pr.def.name, ErrKilled)
	p.failed(pr.def, err)
	pr.fail(err)
}

// inquire passes a question on to a worker.
func (p *Pool) inquire(m *member, r telemetry.Request) telemetry.Act {
	area := &p.mem.workers[m.index]
	if !area.inquiry.CompareAndSwap(0, uint64(r)) { // before cancelSeq; pairs with the load in worker.inquired
		return telemetry.Busy
	}
	area.cancelSeq.Add(1) // pairs with the load in contexts.watch
	sys.FutexWake(&area.cancelSeq, 1)
	return telemetry.Done
}
