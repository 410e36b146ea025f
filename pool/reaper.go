package pool

import (
	"runtime"
	"time"

	"github.com/shmkit/shmkit/internal/backoff"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// checkEvery is how often the reaper looks for what should not be: it only ever helps
// when a process was stopped in the middle of a hand-over.
const checkEvery = 250 * time.Millisecond

// reapLoop takes results while somebody sleeps until they come. It is the only thread of
// the parent that sleeps on the bell, however many goroutines wait.
func (p *Pool) reapLoop() {
	timer := time.NewTimer(0)
	<-timer.C
	for p.reapOnce(timer) {
	}
}

// reapOnce uses timer, which does not run, for its rests.
func (p *Pool) reapOnce(timer *time.Timer) bool {
	p.mu.Lock()
	if p.phase == gone {
		p.mu.Unlock()
		return false
	}
	if p.watched == 0 {
		return p.rest(timer)
	}
	home := p.follow()
	p.mu.Unlock()
	if nap := p.spinForAll(&home.crowd); nap > 0 {
		home.bell.nap(nap)
		return true
	}
	p.mu.Lock()
	home = p.follow()
	if p.phase == gone || p.watched == 0 { // meanwhile: who ends the pool rings no second time
		p.mu.Unlock()
		return true
	}
	home.bell.announce()
	p.serveRequest()
	if p.reap() > 0 {
		home.bell.retract()
		nap := p.pace.nap(p.queued(), p.endings)
		p.unlockAndYield()
		if nap > 0 {
			home.bell.nap(nap)
		}
		return true
	}
	p.mu.Unlock()
	if home.bell.sleep(checkEvery) {
		p.mu.Lock()
		p.check()
		p.mu.Unlock()
	}
	return true
}

// follow returns the pool's memory, which stays mapped until the reaper, whose it is, looks again. The caller holds mu.
func (p *Pool) follow() *estate {
	if was := p.watching; was != p.home {
		p.watching = p.home
		was.unpin()
	}
	return p.watching
}

// rest waits until somebody needs the reaper. As long as there are tasks, or were since
// the last look, it looks now and then, because their callers may not; then it sleeps without
// a bound. The caller holds mu, which is released.
func (p *Pool) rest(timer *time.Timer) (alive bool) {
	p.resting = true
	p.pace.pause()
	p.dormant = p.outstanding == 0 && p.tallies.Value(telemetry.Accepted) == p.lastAccepted
	p.lastAccepted = p.tallies.Value(telemetry.Accepted)
	if p.dormant {
		return p.hibernate()
	}
	p.mu.Unlock()
	timer.Reset(checkEvery)
	defer timer.Stop()
	select {
	case _, alive := <-p.kick:
		return alive
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.resting && p.phase != gone {
		<-p.kick // sent at the last moment
	}
	p.resting = false
	p.reap()
	p.check()
	p.serveRequest()
	return p.phase != gone
}

// hibernate sleeps on the bell, which whoever asks for something from outside can ring, too. Workers have nothing to report. The caller holds
// mu, which is released.
func (p *Pool) hibernate() (alive bool) {
	bell := p.follow().bell // it stays the one to ring as long as the reaper sleeps there, also if the pool gets new memory
	bell.announce()
	p.serveRequest() // pairs with the CAS in Requests.Ask, which comes before the bell
	p.mu.Unlock()
	bell.sleep(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting, p.dormant = false, false
	return p.phase != gone
}

// kickReaper ends the reaper's rest. The caller holds mu.
func (p *Pool) kickReaper() {
	switch {
	case p.dormant:
		p.resting, p.dormant = false, false
		p.watching.bell.rouse()
	case p.resting:
		p.resting = false
		p.kick <- struct{}{} // has room: the reaper takes it before it rests again
	}
}

// watch asks the reaper to work. The caller holds mu, and lowers watched again.
func (p *Pool) watch() {
	p.watched++
	p.kickReaper()
}

// stopReaper ends the reaper, which may sleep on its bell or wait to be kicked.
func (p *Pool) stopReaper() {
	p.mu.Lock()
	p.phase = gone
	close(p.kick)
	p.resting, p.dormant = false, false
	p.watching.bell.rouse()
	p.mu.Unlock()
	p.reaper.Wait()
}

// spinForAll takes results for all who sleep, until none has come for a while or they are so far
// apart that it is better to nap. It is the reaper's.
func (p *Pool) spinForAll(crowd *crowd) (nap time.Duration) {
	budget := p.reaperBudget(crowd)
	if budget == 0 || !p.spinning.CompareAndSwap(false, true) {
		return 0
	}
	defer p.spinning.Store(false)
	runtime.Gosched() // who can run has a task to give, which costs less than to look for one result
	for s := backoff.For(budget); ; {
		p.mu.Lock()
		if p.watched == 0 || p.phase == gone {
			p.mu.Unlock()
			return 0
		}
		p.serveRequest()
		p.waking = false // whoever spins for all does not look closer for one
		if p.reap() > 0 {
			nap = p.pace.nap(p.queued(), p.endings)
			s = backoff.For(budget)
		}
		if woken := p.unlockAndYield(); nap > 0 || !woken && !s.Long(letCome) {
			return nap
		}
	}
}

// letCome is how long the reaper looks away while it spins: each look takes the line of a worker's
// reports away from the worker.
const letCome = time.Microsecond

// reaperBudget is how long the reaper looks for results before it sleeps.
func (p *Pool) reaperBudget(crowd *crowd) time.Duration {
	switch each := p.pace.each; {
	case p.cpus == 1 || each > spinFor:
		return 0
	case each > shortPace && crowd.awake() >= p.cpus:
		return spinCrowded
	}
	return spinFor
}

// queued is how many tasks wait for a worker at least.
func (p *Pool) queued() int { return max(p.outstanding-p.workers(), 0) }
