package pool

import (
	"fmt"
	"slices"
	"time"

	"github.com/shmkit/shmkit/internal/telemetry"
)

// How many workers there are is decided in one place: whatever has changed - a death, a wish, new memory - adjust compares what is
// with what should be, and fills places or has workers retire.

// Resize changes the number of workers to n, at most Options.MaxWorkers. It does not wait: new ones take tasks as soon as they are
// ready, and those that are too many end after their task. No task is lost by it.
func (p *Pool) Resize(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 1 || n > p.opts.MaxWorkers {
		return fmt.Errorf("resize pool %q to %d workers: it must be between 1 and MaxWorkers, %d", p.opts.Name, n, p.opts.MaxWorkers)
	}
	if err := p.accepting(); err != nil {
		return fmt.Errorf("resize pool %q: %w", p.opts.Name, err)
	}
	p.wish(n)
	p.event(telemetry.Resized, 0, uint32(n))
	p.adjust()
	return nil
}

// wish sets how many workers there should be. The caller holds mu, or is the only one who has p.
func (p *Pool) wish(n int) {
	p.size.Store(int32(n))
	p.tallies.Set(telemetry.Wanted, uint64(n))
}

// workers is how many there should be.
func (p *Pool) workers() int { return int(p.size.Load()) }

// adjust brings the number of workers towards what it should be. The caller holds mu.
func (p *Pool) adjust() {
	if !p.started || p.ending() || p.moving != nil {
		return
	}
	have := 0
	for _, m := range p.members {
		if m.counts() {
			have++
		}
	}
	for ; have < p.workers(); have++ {
		m := p.vacancy()
		if m == nil || !p.fill(m) {
			break // until one that ends leaves a place
		}
	}
	for i := len(p.members) - 1; have > p.workers(); i-- {
		if m := p.members[i]; m.counts() {
			m.excess = true
			p.retireWorker(m)
			have--
		}
	}
}

// counts reports whether there is, or will be, a worker in that place for tasks to come.
func (m *member) counts() bool { return !m.vacant && !m.excess && !m.limbo }

// vacancy returns a place for one more worker, or nil.
func (p *Pool) vacancy() *member {
	if i := slices.IndexFunc(p.members, func(m *member) bool { return m.vacant }); i >= 0 {
		return p.members[i]
	}
	if len(p.members) == p.opts.MaxWorkers {
		return nil
	}
	m := p.newMember(len(p.members))
	p.members = append(p.members, m)
	return m
}

const (
	maxStartFailures = 8 // of one place, in a row, before a pool without any worker gives up
	firstDelay       = 10 * time.Millisecond
	maxDelay         = 5 * time.Second
	mostDoublings    = 9 // of firstDelay, which is beyond maxDelay then
)

// fill has a worker started in a vacant place, after a while if the last ones there did not live long. It reports whether the pool goes
// on. The caller holds mu.
func (p *Pool) fill(m *member) bool {
	if m.failures >= maxStartFailures && !p.anyReady() {
		p.fail(fmt.Errorf("pool %q: no worker starts: %w", p.opts.Name, m.firstErr))
		return false
	}
	delay := time.Duration(0)
	if n := max(m.failures, m.idleDeaths, p.drought()); n > 0 {
		delay = startDelay(n)
	}
	m.vacant = false
	p.watchers.Add(1)
	go func() {
		defer p.watchers.Done()
		p.launchLater(m, delay)
	}()
	return true
}

// startDelay is how long a place waits for its next worker when so many, at least one, could not start in a row. While others are
// ready that may be any number, for which a shift would lose all bits.
func startDelay(failures int) time.Duration {
	return min(firstDelay<<min(failures-1, mostDoublings), maxDelay)
}

// drought is how many times in a row the pool got new memory before any task had succeeded there.
func (p *Pool) drought() int {
	if p.tallies.Value(telemetry.Succeeded) != p.successes {
		return 0
	}
	return p.dryMoves
}

func (p *Pool) anyReady() bool {
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.isReady })
}

func (p *Pool) launchLater(m *member, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.quit:
		return
	}
	_ = p.launch(m) // the place has noted it
}

// count tells the workers how many they are. The caller holds mu.
func (p *Pool) count() {
	p.mem.ctl.present.Store(uint32(p.present())) // pairs with the load in crowd.awake
}

// present is how many workers there are, or are just being made.
func (p *Pool) present() (n int) {
	for _, m := range p.members {
		if (m.spawning || m.proc != nil) && !m.limbo {
			n++
		}
	}
	return n
}

// vacate says that nobody is in m's place, nor on the way there. The caller holds mu.
func (p *Pool) vacate(m *member) {
	m.vacant, m.excess, m.limbo, m.retiring, m.leaving, m.spawning, m.isReady, m.proc = true, false, false, false, false, false, false, nil
	p.showState(m)
	p.count()
	p.outside.Broadcast()
	p.adjust()
}

// retireWorker has a worker end after its task. One that is on its way is not let in. The caller holds mu.
func (p *Pool) retireWorker(m *member) {
	if m.proc == nil {
		return
	}
	m.retiring = true
	p.showState(m)
	p.mem.workers[m.index].retire.Store(1) // a full fence; pairs with the loads in worker.unwanted
	p.crowd.wake(m.index)
	p.observe() // whether it goes
}

// wakeAll ends the sleep of all workers. The caller holds mu.
func (p *Pool) wakeAll() { p.crowd.wakeAll(len(p.members)) }
