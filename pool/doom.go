package pool

import (
	"os"
	"sync"
	"time"

	"github.com/shmkit/shmkit/internal/objects"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/process"
)

// A task whose context has ended and that goes on is ended with its worker. What is to die is decided first, by the word: once
// it says doomed, the worker cannot finish the task any more, nor claim another, and only then is it told. So a worker that
// was faster lives on, and no other task is hit.

// killAfter is how long a worker has to end once it was told to: for OnExit. Then it is killed.
const killAfter = time.Second

// pursue dooms the task in slot i, which runs, unless it ends within the grace period. The caller holds mu.
func (p *Pool) pursue(i uint32, gen uint64) {
	time.AfterFunc(p.opts.Grace, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.doom(i, gen)
	})
}

// doom ends the task in slot i and its worker, if it still runs. The caller holds mu.
func (p *Pool) doom(i uint32, gen uint64) {
	e := &p.entries[i]
	if p.phase >= stopping || p.broken != nil || !e.live || e.gen != gen {
		return
	}
	s := &p.mem.slots[i]
	w := word(s.word.Load())
	m := p.memberOf(w.worker())
	if w.state() != running || w.gen() != gen || m == nil || m.proc == nil {
		return
	}
	if s.word.CompareAndSwap(uint64(w), uint64(makeWord(doomed, w.worker(), gen))) { // pairs with the CAS in worker.finish
		m.why = telemetry.Abandoned
		if e.expired {
			m.why = telemetry.TimedOut
		}
		p.tell(m)
	}
}

// tell has a worker end, in time or by SIGKILL. The caller holds mu.
func (p *Pool) tell(m *member) {
	p.mem.workers[m.index].leave.Store(1) // pairs with the load in worker.told
	_ = m.proc.Signal(sys.SIGTERM)        // it has ended if that fails
	p.killLate(m)
}

// killLate kills a worker that is about to end and has not after a while. The caller holds Pool.mu.
func (p *Pool) killLate(m *member) {
	proc := m.proc
	afterPatience(proc, killAfter, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if m.proc == proc {
			p.kill(m)
		}
	})
}

// noticeRetired looks whether a worker ends by itself. The caller holds mu.
func (p *Pool) noticeRetired(m *member) {
	if !m.leaving && m.proc != nil && bootStatus(p.mem.workers[m.index].status.Load()) == retired { // pairs with the store in worker.retire
		m.leaving = true
		p.killLate(m)
	}
}

// An ending is a worker's way out, which it goes once.
type ending struct {
	once   sync.Once
	exit   []byte            // the encoded OnExit
	shared *objects.Arrivals // what it refers to
}

// told is called for each SIGTERM. One that does not come from the parent is dropped: a service manager sends it to every process
// of a service, and the parent decides when its workers end.
func (w *worker) told() {
	if w.area.leave.Load() != 0 { // pairs with the store in Pool.tell
		w.depart(exitDoomed)
	}
}

// depart runs OnExit and ends the process. A second call waits for the first, which does not return.
func (w *worker) depart(code int) {
	w.ending.run()
	os.Exit(code)
}

// run runs OnExit. What goes wrong there is nobody's to know.
func (e *ending) run() { e.once.Do(func() { _ = prepareWorker(e.exit, e.shared) }) }

// mindSignals makes the worker listen to the parent's SIGTERM.
func (w *worker) mindSignals() { process.OnTerminate(w.told) }
