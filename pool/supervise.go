package pool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// A member is the parent's record of one place among the workers. The place is kept when
// its worker dies and another takes it.
type member struct {
	index int

	incarnation uint32 // of the worker that has the place now
	proc        *process.Process
	crash       *os.File // where the Go runtime writes its last words
	done        *ring.HintsConsumer
	reported    bool // it has said, or shown by its death, whether it is ready
	isReady     bool
	startErr    error
	leaving     bool // it retires, and will be killed if it takes long
	seen        sighting
	failures    int           // to start, in a row
	up          chan struct{} // closed when it is ready or has failed to start
	doomed      bool          // killed because the pool ends
}

func (p *Pool) newMember(i int) *member {
	m := &member{index: i, reported: true, up: make(chan struct{})}
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

// kill ends the worker, also one that is just being started. The caller holds mu.
func (m *member) kill() {
	m.doomed = true
	if m.proc != nil {
		m.proc.Kill()
	}
}

// prepare gives the place a new incarnation. Its last worker is proved dead, and nobody
// uses what it has left. The caller holds mu.
func (p *Pool) prepare(m *member) {
	p.incarnation = p.nextIncarnation()
	m.incarnation = p.incarnation
	m.proc, m.reported, m.isReady, m.startErr, m.leaving = nil, false, false, nil, false
	m.up = make(chan struct{})
	p.watch() // until it reports
	completions := p.mem.completions(m.index)
	completions.Reset(0)
	m.done = completions.Consumer(0)
	area := &p.mem.workers[m.index]
	area.cancel.Store(0)
	for k := range area.batch {
		area.batch[k].Store(0)
	}
	area.sweep.Store(0)
	area.leave.Store(0)
	area.current.Store(0)
	area.hungry.Store(sated)
	area.freed.Store(0)
	area.status.Store(uint32(starting))
	p.starts++
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
	p.prepare(m)
	incarnation := m.incarnation
	p.mu.Unlock()
	proc, crash, err := p.startProcess(m.index, incarnation)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("start worker %d: %w", m.index, err)
		p.reportStart(m, err)
		return err
	}
	m.proc, m.crash = proc, crash
	if m.doomed {
		proc.Kill()
	}
	p.watchers.Add(1)
	go func() {
		defer p.watchers.Done()
		<-proc.Done()
		p.exited(m)
	}()
	return nil
}

// startProcess starts the process and makes the file for its last words.
func (p *Pool) startProcess(index int, incarnation uint32) (*process.Process, *os.File, error) {
	crash, err := sys.Memfd("shmkit-crash", crashBytes)
	if err != nil {
		return nil, nil, err
	}
	proc, err := workerEntry.Start(process.Options{
		Name:   fmt.Sprintf("%s: worker %d", p.opts.Name, index),
		Env:    p.opts.workerEnvironment(index, incarnation),
		Dir:    p.opts.Dir,
		Stderr: p.opts.Stderr,
		Files:  []*os.File{p.seg.File(), crash},
	})
	if err != nil {
		crash.Close()
		return nil, nil, err
	}
	return proc, crash, nil
}

// report takes note of a worker that is ready, or cannot start.
func (p *Pool) report(m *member) {
	switch bootStatus(p.mem.workers[m.index].status.Load()) { // pairs with the store in worker.report
	case serving, retired:
		p.reportStart(m, nil)
	case refused:
		boot := append([]byte(nil), p.mem.boot(m.index)...)
		n := min(binary.LittleEndian.Uint32(boot), bootBytes-4)
		p.reportStart(m, fmt.Errorf("start worker %d: %w", m.index, decodeRemote("init", boot[4:4+n])))
	}
}

// reportStart notes, once for each incarnation, that a worker is ready or why not.
func (p *Pool) reportStart(m *member, err error) {
	if m.reported {
		return
	}
	m.reported, m.isReady, m.startErr = true, err == nil, err
	m.failures++
	if m.isReady {
		m.failures = 0
	}
	p.watched--
	close(m.up)
}

// exited takes care of what a dead worker has left: nothing of it is changing any more.
func (p *Pool) exited(m *member) {
	died := m.obituary()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reap()
	p.inherit(m, died)
	p.crowd.forget(m.index)
	p.reportStart(m, fmt.Errorf("start worker %d: %w", m.index, died))
	sys.FutexWake(p.bell.word, 1) // it may have won the bell and died before this call
	wasReady := m.isReady
	m.proc, m.isReady = nil, false
	if p.phase < stopping && p.broken == nil {
		if bootStatus(p.mem.workers[m.index].status.Load()) != retired { // pairs with the store in worker.retire
			p.deaths++
		}
		p.rehint() // of tasks that it was about to claim
		p.crowd.wakeAll()
		p.replace(m, wasReady)
	}
}

// inherit ends the tasks of a dead worker. Those that it finished without saying so
// have their results; those that it ran fail.
func (p *Pool) inherit(m *member, died *WorkerDiedError) {
	for i := range p.entries {
		e := &p.entries[i]
		if !e.live {
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
			if w.state() == running && p.retry(uint32(i), died) {
				continue
			}
			p.bury(uint32(i), died, p.unload(uint32(i)))
			e.ahead = false
			p.retire(uint32(i))
			p.ended()
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
		if !p.endPart(i, t) {
			p.corrupted("a worker that died claimed more results than its chunk has items")
			return
		}
		if t.next == t.n {
			pr.finish()
			return
		}
	}
	p.failed++
	if p.entries[i].expired {
		pr.fail(context.DeadlineExceeded)
		return
	}
	last := died.during(pr.def.name, blocks)
	last.Earlier = p.entries[i].deaths
	pr.fail(last)
}

// during returns a copy for one task: failed futures share no error.
func (e *WorkerDiedError) during(fn string, blocks int) *WorkerDiedError {
	own := *e
	own.Func, own.Blocks = fn, blocks
	return &own
}

// crashBytes bounds the traceback that is kept of a worker.
const crashBytes = 1 << 20

// obituary says how the worker ended, and closes its crash file.
func (m *member) obituary() *WorkerDiedError {
	e := &WorkerDiedError{Pid: m.proc.Pid(), ExitCode: m.proc.ExitCode()}
	var exit *process.ExitError
	if errors.As(m.proc.Wait(context.Background()), &exit) {
		e.ExitCode, e.cause = exit.Code, exit.Err
		if exit.Signal != nil {
			e.Signal = exit.Signal.String()
		}
	}
	e.Traceback = lastWords(m.crash)
	m.crash.Close()
	return e
}

// lastWords returns what a worker has written to its crash file. Its writes have moved the offset, which
// they share with this process.
func lastWords(crash *os.File) string {
	n, err := crash.Seek(0, io.SeekCurrent)
	if err != nil {
		return ""
	}
	text := make([]byte, min(max(n, 0), crashBytes))
	k, _ := crash.ReadAt(text, 0) // what could not be read is missing
	return strings.Trim(string(text[:k]), "\x00\n")
}

const (
	maxStartFailures = 8 // of one place, in a row, before a pool without any worker gives up
	firstDelay       = 10 * time.Millisecond
	maxDelay         = 5 * time.Second
)

// replace starts a new worker in the place of a dead one, after a while if that one
// did not start. While the pool itself starts, its New fails instead. The caller holds mu.
func (p *Pool) replace(m *member, wasReady bool) {
	if !p.started {
		return
	}
	delay := time.Duration(0)
	if !wasReady {
		delay = min(firstDelay<<(m.failures-1), maxDelay)
		if m.failures >= maxStartFailures && !p.anyReady() {
			p.fail(fmt.Errorf("pool %q: no worker starts: %w", p.opts.Name, m.startErr))
			return
		}
	}
	p.watchers.Add(1)
	go func() {
		defer p.watchers.Done()
		p.relaunch(m, delay)
	}()
}

func (p *Pool) anyReady() bool {
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.isReady })
}

// relaunch frees what the last worker held, and waits for delay.
func (p *Pool) relaunch(m *member, delay time.Duration) {
	p.store.Reclaim(workerHolder(m.incarnation))
	p.mu.Lock()
	p.gotFree()
	p.mu.Unlock()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.quit:
		return
	}
	if p.launch(m) == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase < stopping && p.broken == nil {
		p.replace(m, false)
	}
}
