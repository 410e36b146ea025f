package pool

import (
	"context"
	"runtime"
	"time"

	"github.com/shmkit/shmkit/internal/backoff"
	"github.com/shmkit/shmkit/internal/sys"
)

const (
	// spinFor is how long a waiting goroutine looks for its result itself before it sleeps. Waking
	// a sleeper costs about as much, so spinning at most doubles the wait.
	spinFor = 100 * time.Microsecond

	// wakeFor is how much longer that is when a worker has to be woken first: a processor that was
	// idle may take its time.
	wakeFor = 300 * time.Microsecond

	// yieldEvery is how many looks pass before who spins offers its processor to others: the one for
	// whom it waits may have been put there, and would otherwise wait for it until the next tick.
	yieldEvery = 64

	// spinCrowded is the same while the workers have something to do for every processor: who
	// spins takes one of them away.
	spinCrowded = 2 * time.Microsecond
)

// await returns nil when the promise is finished, or ctx's error. A goroutine that is alone spins;
// one of many sleeps, and the reaper spins for them: whoever spins keeps a processor from those
// who have a task to give, and would have the next result first again.
func (p *Pool) await(ctx context.Context, pr *promise) error {
	if p.parked.Load() == 0 && p.spin(ctx, pr) {
		return nil
	}
	return p.park(ctx, pr)
}

// spin takes results, anybody's, until pr is finished. One goroutine at a time does it:
// it serves the others too.
func (p *Pool) spin(ctx context.Context, pr interface{ finished() bool }) bool {
	if pr.finished() {
		return true
	}
	if p.cpus == 1 || !p.spinning.CompareAndSwap(false, true) {
		return false
	}
	defer p.spinning.Store(false)
	s := backoff.For(spinFor)
	for turn := 0; ; turn++ {
		crowded, waking := p.reapSome()
		if crowded && turn == 0 {
			s = backoff.For(spinCrowded)
		}
		if waking {
			s = backoff.For(spinFor + wakeFor)
		}
		if turn%yieldEvery == yieldEvery-1 {
			sys.Yield()
		}
		if pr.finished() {
			return true
		}
		if turn%16 == 15 && ctx.Err() != nil {
			return false
		}
		if !s.Once() {
			return false
		}
	}
}

// reapSome reaps unless somebody else has the lock. It lets the goroutines run that it has made
// runnable. It reports whether the workers have something to do for every processor, and, once, whether one
// was asleep when the last task came. Only under the lock is the pool's memory sure to be there.
func (p *Pool) reapSome() (crowded, waking bool) {
	if !p.mu.TryLock() {
		return false, false
	}
	p.reap()
	crowded = p.phase != gone && p.crowd.awake() >= p.cpus
	waking, p.waking = p.waking, false
	p.unlockAndYield()
	return crowded, waking
}

// unlockAndYield releases mu and lets the goroutines run that were made runnable. It reports
// whether there were any.
func (p *Pool) unlockAndYield() (woken bool) {
	woken = p.woken
	p.woken = false
	p.mu.Unlock()
	if woken {
		runtime.Gosched()
	}
	return woken
}

// park sleeps until the promise is finished.
func (p *Pool) park(ctx context.Context, pr *promise) error {
	p.mu.Lock()
	if pr.finished() {
		p.mu.Unlock()
		return nil
	}
	pr.watch()
	only := pr.more.wake != nil
	var ended <-chan struct{} = pr.more.wake
	if only {
		pr.more.armed = true
	} else {
		ended = pr.channel()
	}
	p.parked.Add(1) // until it runs again
	defer p.parked.Add(-1)
	p.mu.Unlock()
	if ctx.Done() == nil { // receiving costs less than selecting
		<-ended
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	if only {
		p.disarm(pr)
	}
	return ctx.Err()
}

// disarm takes back what park armed, also when it was sent at the last moment.
func (p *Pool) disarm(pr *promise) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !pr.more.armed {
		<-pr.more.wake
	}
	pr.more.armed = false
}

// awaitIdle waits until a pool that is closing has nothing left to do. It returns ctx's error if that ends first: what is
// idle already has been in time.
func (p *Pool) awaitIdle(ctx context.Context) error {
	select {
	case <-p.idle:
		return nil
	default:
	}
	select {
	case <-p.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
