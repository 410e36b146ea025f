package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/process"
)

// A worker that was killed is dead when the kernel says so, and not before: one in the kernel, waiting for a disk or a server that does
// not answer (state D), cannot be ended, and may still be written to by the kernel. Nobody waits for it: its caller gets the error, its
// place is another's, the pool can be closed. Its slot, and the blocks that it was given, stay as they are until it is dead.

// quarantineAfter is how long the death of a worker that was killed may take.
const quarantineAfter = time.Second

// errUndead is the fate of a task whose worker was killed and goes on.
var errUndead = errors.New("it was killed and has not died: what it was given is kept until it has")

// kill ends a worker, also one that is just being started. The caller holds mu.
func (p *Pool) kill(m *member) {
	m.doomed = true
	p.showState(m)
	if m.proc == nil || m.limbo {
		return
	}
	proc := m.proc
	_ = proc.Kill() // it has ended if that fails
	afterKill(proc, quarantineAfter, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.quarantine(m, proc)
	})
}

// killAll ends all workers. The caller holds mu.
func (p *Pool) killAll() {
	for _, m := range p.members {
		p.kill(m)
	}
}

// stopTimeout is how long a worker has to end once it has nothing to do and is told to.
const stopTimeout = 5 * time.Second

// stopWorkers lets idle workers end by themselves, and ends those who do not.
func (p *Pool) stopWorkers() {
	p.mu.Lock()
	p.phase = max(p.phase, stopping)
	p.endMove()
	p.mem.ctl.stop.Store(1) // pairs with the loads in worker.unwanted
	p.wakeAll()
	for _, m := range p.members {
		p.stopLate(m)
	}
	p.mu.Unlock()
	p.watchers.Wait()
}

// stopLate ends a worker that has nothing to do and does not end by itself. The caller holds mu.
func (p *Pool) stopLate(m *member) {
	proc := m.proc
	if proc == nil { // welcome does it
		return
	}
	afterPatience(proc, stopTimeout, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if m.proc == proc && !m.doomed {
			p.late++
			p.kill(m)
		}
	})
}

// putDown kills a worker in the middle of a task, for a reason that its task is told. The task is doomed first, so that it is that
// task which fails, and a worker that has just ended it lives on.
func (p *Pool) putDown(m *member, why error) {
	task := p.claimed(m)
	w, ok := p.runs(m, task)
	if !ok {
		return
	}
	i := task.slot()
	if p.mem.slots[i].word.CompareAndSwap(uint64(w), uint64(makeWord(doomed, w.worker(), w.gen()))) { // pairs with the CAS in worker.finish
		p.entries[i].ordeal = &ordeal{deaths: p.entries[i].deaths(), fate: why}
		p.kill(m)
	}
}

// claimed is the task that m says it has claimed last: a hint.
func (p *Pool) claimed(m *member) order {
	return order(p.mem.workers[m.index].current.Load()) // pairs with the store in worker.claim
}

// runs reports whether m runs that task, and returns its word.
func (p *Pool) runs(m *member, task order) (w word, ok bool) {
	i := task.slot()
	if int(i) >= len(p.entries) {
		return 0, false
	}
	w = word(p.mem.slots[i].word.Load())
	e := &p.entries[i]
	return w, e.live && e.gen == task.gen() && w == makeWord(running, m.incarnation, e.gen)
}

// isDead reports whether exited is about to see to the process, or has.
func isDead(proc *process.Process) bool {
	select {
	case <-proc.Done():
		return true
	default:
		return false
	}
}

// quarantine is called some time after proc was killed. If it has not died, nobody waits for it any more. The caller holds mu.
func (p *Pool) quarantine(m *member, proc *process.Process) {
	if isDead(proc) || m.proc != proc || m.limbo || p.phase == gone {
		return
	}
	m.limbo, m.isReady = true, false
	p.showState(m)
	p.undead++
	if p.moving == nil {
		p.quarantineTasks(m)
	}
	p.reportStart(m, fmt.Errorf("start worker %d: %w", m.index, errUndead))
	p.crowd.forget(m.index)
	m.release()
	p.count()
	p.outside.Broadcast()
	p.adjust()
}

// quarantineTasks fails what m runs.
func (p *Pool) quarantineTasks(m *member) {
	for i := range p.entries {
		e := &p.entries[i]
		w := word(p.mem.slots[i].word.Load())
		if !e.live || e.quarantined || w.gen() != e.gen || w.worker() != m.incarnation || p.moving != nil {
			continue
		}
		mine := uint64(makeWord(doomed, m.incarnation, e.gen))
		if w.state() == running {
			p.mem.slots[i].word.CompareAndSwap(uint64(w), mine) // pairs with the CAS in worker.finish
		}
		if p.mem.slots[i].word.Load() != mine {
			continue
		}
		e.quarantined = true
		if e.task != nil {
			p.failUndead(uint32(i), m)
		}
		p.ended()
	}
	p.rehint()
	p.wakeAll()
}

// failUndead fails the task in slot i, whose worker is in limbo. Of a chunk, the results that are there are copied, and what was not
// begun is sent again.
func (p *Pool) failUndead(i uint32, m *member) {
	e := &p.entries[i]
	pr := e.task
	e.task = nil
	if t := pr.part(); t != nil {
		block := e.block
		if !p.endPart(i, t, 0) {
			p.tallies.Add(telemetry.Failed, pr.items())
			pr.fail(p.corrupted("a worker that is in limbo claims more results than its chunk has items"))
			return
		}
		e.block, t.owned, t.salvage = block, false, layout.Clone(p.store.Bytes(block))
		if pr.hasAll() {
			pr.finish()
			return
		}
	}
	if e.expired {
		p.timedOut()
		pr.fail(context.DeadlineExceeded)
		return
	}
	died := &WorkerDiedError{Pid: m.pid(), ExitCode: -1, Signal: os.Kill.String(), Func: e.def.name, Earlier: e.deaths()}
	died.cause = errUndead
	if fate := cmp.Or(e.fate(), m.fate()); fate != nil {
		died.cause = fmt.Errorf("%w; %w", fate, errUndead)
	}
	p.failed(e.def, died)
	pr.fail(died)
}
