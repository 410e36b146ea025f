package pool

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// A member is the parent's record of one place among the workers. The place is kept when
// its worker dies and another takes it. Pool.mu guards it.
type member struct {
	index int

	// Where the place stands. None of it: a process is there, or on its way.
	vacant   bool // nobody is there, nor on the way
	spawning bool // a process is just being made
	excess   bool // who is there, or on the way, is one too many
	limbo    bool // who is there was killed and is not dead: see quarantine

	incarnation uint32 // of the worker that has the place now
	proc        *process.Process
	release     func()   // says that nobody waits for proc's end any more
	crash       *os.File // where the Go runtime writes its last words
	done        *ring.HintsConsumer
	reported    bool // it has said, or shown by its death, whether it is ready
	isReady     bool
	startErr    error
	retiring    bool          // it was told to end after its task
	why         telemetry.End // why it will be killed, if that is ordered
	leaving     bool          // it ends, and will be killed if it takes long
	doomed      bool          // killed because the pool ends, or its memory
	seen        sighting
	appetite    appetite // when all were first found to wait for memory
	vital       vitals
	up          chan struct{} // closed when it is ready or has failed to start

	failures   int       // to start, in a row
	firstErr   error     // why the first of these failed
	idleDeaths int       // in a row, of workers that had not lived long nor run anything
	since      time.Time // when it was ready
}

func (p *Pool) newMember(i int) *member {
	m := &member{index: i, vacant: true, reported: true, up: make(chan struct{})}
	m.done = p.mem.completions(i).Consumer(0)
	return m
}

// pid returns the worker's process, or 0 while there is none. The caller holds mu.
func (m *member) pid() int {
	if m.proc == nil {
		return 0
	}
	return m.proc.Pid()
}

// prepare gives the place a new incarnation. Its last worker is proved dead, and nobody
// uses what it has left. The caller holds mu.
func (p *Pool) prepare(m *member) {
	p.incarnation = p.nextIncarnation()
	m.incarnation = p.incarnation
	m.reported, m.isReady, m.startErr, m.leaving = false, false, nil, false
	m.seen, m.vital, m.why = sighting{}, vitals{}, telemetry.Crashed
	m.up = make(chan struct{})
	p.watch() // until it reports
	area := &p.mem.workers[m.index]
	area.cancel.Store(0)
	for k := range area.batch {
		area.batch[k].Store(0)
	}
	area.sweep.Store(0)
	area.leave.Store(0)
	area.retire.Store(0)
	area.current.Store(0)
	area.inquiry.Store(0)
	area.hungry.Store(uint32(sated))
	area.freed.Store(0)
	area.status.Store(uint32(starting))
	p.tallies.Add(telemetry.Started, 1)
	p.clearDesk(m)
}

// nextIncarnation returns a number that no living worker has.
func (p *Pool) nextIncarnation() uint32 {
	n := p.incarnation
	for {
		n = n%maxIncarnation + 1
		taken := false
		for _, m := range p.members {
			taken = taken || m.incarnation == n
		}
		if !taken {
			return n
		}
	}
}

// launch starts a worker in m's place. It does not wait until it is ready.
func (p *Pool) launch(m *member) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.members[m.index] != m { // of a time before the pool got new memory
		return errMoved
	}
	if m.excess || p.ending() || p.moving != nil {
		p.vacate(m)
		return ErrClosed
	}
	m.spawning, m.doomed = true, false // nobody takes the memory away
	p.count()
	p.mu.Unlock()
	err := p.home.reserve(m.index)
	p.mu.Lock()
	p.prepare(m)
	if err == nil {
		err = p.openRecords(m)
	}
	if err == nil {
		err = p.spawn(m)
	}
	m.spawning = false
	if err != nil {
		err = fmt.Errorf("start worker %d: %w", m.index, err)
		p.reportStart(m, err)
		p.vacate(m)
		return err
	}
	p.welcome(m)
	return nil
}

// spawn starts the process. The caller holds mu, which is released meanwhile.
func (p *Pool) spawn(m *member) error {
	completions := p.mem.completions(m.index)
	completions.Reset(0)
	m.done = completions.Consumer(0)
	incarnation := m.incarnation
	p.mu.Unlock()
	proc, crash, err := p.startProcess(m.index, incarnation)
	p.mu.Lock()
	m.proc, m.crash = proc, crash
	p.sitDown(m)
	return err
}

// welcome looks after a worker that was just started. The caller holds mu.
func (p *Pool) welcome(m *member) {
	switch {
	case m.doomed: // meanwhile
		p.kill(m)
	case m.excess || p.moving != nil:
		p.retireWorker(m)
	case p.phase >= stopping:
		p.stopLate(m)
	}
	p.watchers.Add(1)
	m.release = sync.OnceFunc(p.watchers.Done)
	proc, release := m.proc, m.release
	go func() {
		defer release()
		<-proc.Done()
		if incarnation, mine := p.exited(m, proc); mine {
			p.reclaim(incarnation)
		}
	}()
}

// reclaim frees what a dead worker held.
func (p *Pool) reclaim(incarnation uint32) {
	p.mu.Lock()
	if p.phase == gone || p.moving != nil {
		p.mu.Unlock()
		return
	}
	p.inside++
	p.mu.Unlock()
	p.store.Reclaim(workerHolder(incarnation))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gotFree()
	p.exitLocked(1)
}

// report takes note of a worker that is ready, or cannot start.
func (p *Pool) report(m *member) {
	switch bootStatus(p.mem.workers[m.index].status.Load()) { // pairs with the store in worker.report
	case serving, retired:
		p.reportStart(m, nil)
	case refused:
		boot := append([]byte(nil), p.mem.boot(m.index)...)
		n := min(binary.LittleEndian.Uint32(boot), bootBytes-4)
		err := decodeRemote("init", boot[4:4+n])
		if !errors.As(err, new(*TaskError)) && p.started {
			_ = p.corrupted("what worker %d says of its start makes no sense: %v", m.index, err)
			return
		}
		p.reportStart(m, fmt.Errorf("start worker %d: %w", m.index, err))
	}
}

// reportStart notes, once for each incarnation, that a worker is ready or why not.
func (p *Pool) reportStart(m *member, err error) {
	if m.reported {
		return
	}
	m.reported, m.isReady, m.startErr = true, err == nil, err
	if m.isReady {
		m.failures, m.firstErr, m.since = 0, nil, time.Now()
	} else if m.failures++; m.failures == 1 {
		m.firstErr = err
	}
	p.watched--
	close(m.up)
	p.showState(m)
}

// longLife is how long a worker that has run nothing has to live for its death to be no sign of trouble.
const longLife = time.Second

// exited takes care of what a dead worker has left: nothing of it is changing any more. It returns its incarnation, if there is more to
// free.
func (p *Pool) exited(m *member, proc *process.Process) (incarnation uint32, mine bool) {
	died := obituary(proc, m.crash)
	p.mu.Lock()
	defer p.mu.Unlock()
	died.cause = cmp.Or(m.fate(), died.cause)
	if m.limbo {
		p.undead--
	}
	if p.phase == gone || p.members[m.index] != m { // it died in the memory that it was killed for
		return 0, false
	}
	last := p.demise(m, died)
	crash := p.reportCrash(m, last, died)
	p.reap()
	if p.moving == nil {
		p.inherit(m, died)
		p.check()
	}
	p.crowd.forget(m.index)
	p.reportStart(m, fmt.Errorf("start worker %d: %w", m.index, died))
	sys.FutexWake(p.home.bell.word, 1) // it may have won the bell and died before this call
	if !p.ending() && p.moving == nil {
		p.mourn(m)
		p.rehint() // of tasks that it was about to claim
		p.wakeAll()
	}
	incarnation = m.incarnation
	why := p.standUp(m)
	p.tellDemise(last, why)
	p.leaveReport(crash, why)
	p.vacate(m)
	return incarnation, true
}

// mourn counts a death.
func (p *Pool) mourn(m *member) {
	area := &p.mem.workers[m.index]
	retired := bootStatus(area.status.Load()) == retired // pairs with the store in worker.retire
	if !retired {
		p.tallies.Add(telemetry.Deaths, 1)
	}
	if m.isReady && !retired && area.current.Load() == 0 && time.Since(m.since) < longLife {
		m.idleDeaths++
	} else {
		m.idleDeaths = 0
	}
}

// inherit ends the tasks of a dead worker. Those that it finished without saying so
// have their results; those that it ran fail.
func (p *Pool) inherit(m *member, died *WorkerDiedError) {
	for i := range p.entries {
		e := &p.entries[i]
		if !e.live || p.moving != nil { // because one of them was found to be corrupted
			continue
		}
		s := &p.mem.slots[i]
		w := word(s.word.Load())
		if w.gen() != e.gen || w.worker() != m.incarnation {
			continue
		}
		switch w.state() {
		case done, failed:
			p.collect(uint32(i), m, w.state() == failed)
		case running, doomed:
			if (w.state() == running || e.fate() != nil) && p.retry(uint32(i), died) {
				continue
			}
			p.bury(uint32(i), died, p.unload(uint32(i)))
			e.ahead = false
			p.retire(uint32(i))
			if !e.quarantined {
				p.ended()
			}
		}
	}
}

// bury ends the task in slot i with the death of the worker that ran it, with which so many blocks were freed. A chunk fails
// where it was.
func (p *Pool) bury(i uint32, died *WorkerDiedError, blocks int) {
	pr := p.entries[i].task
	if pr == nil {
		return
	}
	if t := pr.part(); t != nil {
		if !p.endPart(i, t, 0) {
			p.corrupted("a worker that died claimed more results than its chunk has items")
			return
		}
		if pr.hasAll() {
			pr.finish()
			return
		}
	}
	if p.entries[i].expired {
		p.timedOut()
		pr.fail(context.DeadlineExceeded)
		return
	}
	last := p.entries[i].death(died, blocks)
	last.Earlier = p.entries[i].deaths()
	p.failed(p.entries[i].def, last)
	pr.fail(last)
}
