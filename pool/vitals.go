package pool

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/process"
)

// While tasks run, the parent looks now and then how the workers are: whether one was stopped, and what memory it uses. While none
// does, it does not.

// Time between two looks.
const (
	vitalsEvery = 250 * time.Millisecond
	memoryEvery = 50 * time.Millisecond // memory grows fast
)

// ErrMemoryLimit is what errors.Is finds in the error of a task whose worker was killed because it used more than
// Options.KillMemoryPerWorker.
var ErrMemoryLimit = errors.New("more memory than a worker may use")

var errStopped = errors.New("it was stopped, and did not go on within the grace period")

// vitals are what was seen of a worker.
type vitals struct {
	task  order // at the last look
	stops int   // looks in a row at which it was stopped
}

// A checkup is a look at a worker.
type checkup struct {
	m      *member
	proc   *process.Process
	status sys.ProcessStatus
	err    error
}

// observe starts the looks, if they are not going on. The caller holds mu.
func (p *Pool) observe() {
	if p.observing {
		return
	}
	p.observing = true
	if p.rounds == nil {
		p.rounds = time.AfterFunc(p.roundsEvery(), p.makeRounds)
	} else {
		p.rounds.Reset(p.roundsEvery())
	}
}

func (p *Pool) roundsEvery() time.Duration {
	if p.watchesMemory() {
		return memoryEvery
	}
	return vitalsEvery
}

func (p *Pool) watchesMemory() bool {
	return p.opts.MaxMemoryPerWorker > 0 || p.opts.KillMemoryPerWorker > 0
}

// makeRounds looks at all workers that may need it.
func (p *Pool) makeRounds() {
	p.mu.Lock()
	if p.outstanding == 0 && p.endings == p.roundsUntil && !p.anyRetires() || p.ending() {
		p.observing = false
		p.mu.Unlock()
		return
	}
	p.roundsUntil = p.endings
	p.telling.sampler.skip = 0 // when tasks come seldom by now, they are all told
	p.reap()
	p.check()
	due := p.checkups()
	p.mu.Unlock()
	for i := range due {
		c := &due[i]
		c.status, c.err = sys.StatusOf(c.proc.Pid())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range due {
		// If the process has ended meanwhile, and its id is another's by now, the status is too: but then nothing is done.
		if c := &due[i]; c.err == nil && c.m.proc == c.proc && !c.m.limbo && !p.ending() && p.moving == nil {
			p.treat(c)
		}
	}
	p.rounds.Reset(p.roundsEvery())
}

// checkups returns the workers that are at the same task as at the last look, while there are tasks, and if memory counts those that
// have run something since.
func (p *Pool) checkups() (found []checkup) {
	if p.moving != nil {
		return nil
	}
	for _, m := range p.members {
		if m.proc == nil || m.limbo {
			continue
		}
		task := p.claimed(m)
		stuck := task == m.vital.task && p.outstanding > 0
		if _, busy := p.runs(m, task); stuck || (busy || task != m.vital.task) && p.watchesMemory() {
			found = append(found, checkup{m: m, proc: m.proc})
		} else {
			m.vital.stops = 0
		}
		m.vital.task = task
	}
	return found
}

// anyRetires reports whether a worker was told to end and has not yet.
func (p *Pool) anyRetires() bool {
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.retiring })
}

// treat acts on what was seen.
func (p *Pool) treat(c *checkup) {
	m, st := c.m, &c.status
	if !st.Stopped {
		m.vital.stops = 0
	} else if m.vital.stops++; time.Duration(m.vital.stops)*p.roundsEvery() > p.opts.Grace { // looks, not time: this process may have been stopped too
		m.why = telemetry.Stopped
		p.putDown(m, errStopped)
		p.kill(m) // also if it runs nothing: it may have taken tasks
		return
	}
	used := st.Anonymous + st.Swapped
	if most := p.opts.KillMemoryPerWorker; most > 0 && used > most {
		m.why = telemetry.TooLarge
		p.putDown(m, fmt.Errorf("it used %d bytes: %w, %d", used, ErrMemoryLimit, most))
	}
	if most := p.opts.MaxMemoryPerWorker; most > 0 && used > most && m.vital.task != 0 { // else another would be as large
		p.retireWorker(m)
	}
}
