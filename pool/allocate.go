package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// enter keeps the memory mapped, and the pool from ending, until p.users.Done. It fails if the pool accepts no tasks.
func (p *Pool) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.accepting(); err != nil {
		return err
	}
	p.users.Add(1)
	return nil
}

// retryEvery is how often somebody who waits for memory looks whether another process has given some back: nobody tells.
const retryEvery = 10 * time.Millisecond

// allocate returns a block of n bytes, and whether it is known to be zero, once there is room. The caller has entered.
func (p *Pool) allocate(ctx context.Context, n int64) (b shm.Block, zero bool, err error) {
	for trimmed := false; ; {
		b, zero, err = p.store.Alloc(n)
		switch {
		case errors.Is(err, shm.ErrNoMemory) && !trimmed:
			p.store.TrimAll() // what is kept for whoever comes next
			trimmed = true
		case !errors.Is(err, shm.ErrArenaFull):
			return b, zero, err
		default:
			p.store.Sweep()
			p.askToSweep()
			if err := p.awaitMemory(ctx); err != nil {
				return shm.Block{}, false, err
			}
		}
	}
}

// awaitMemory waits until this process frees memory, or for a while.
func (p *Pool) awaitMemory(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.accepting(); err != nil {
		return err
	}
	if p.reap() > 0 {
		return nil
	}
	p.watch()
	p.starving++
	freed := p.freed
	p.mu.Unlock()
	select {
	case <-freed:
	case <-time.After(retryEvery):
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.watched--
	p.starving--
	return ctx.Err()
}

// argument returns a block of n bytes for an argument. Arguments leave half of the memory to results and blocks, or all tasks
// could wait for room for what they return, behind those that have not begun.
func (p *Pool) argument(ctx context.Context, n int64) (shm.Block, error) {
	for !p.mayArgue(n) {
		if err := p.awaitMemory(ctx); err != nil {
			return shm.Block{}, err
		}
	}
	b, _, err := p.allocate(ctx, n)
	p.argued(n, b)
	return b, err
}

// mayArgue counts n bytes as taken by arguments, if these may have as many. argued must follow.
func (p *Pool) mayArgue(n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.arguments > 0 && p.arguments+n > p.store.Size()/2 && n <= p.store.Size() { // what never fits need not wait to be told
		return false
	}
	p.arguments += n
	return true
}

// argued counts b, which has no capacity if there was no room, for the n bytes that were counted.
func (p *Pool) argued(n int64, b shm.Block) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arguments += b.Cap - n
}

// freeArgument gives an argument's block back. The caller holds mu.
func (p *Pool) freeArgument(b shm.Block) {
	if b.Cap > 0 {
		p.arguments -= b.Cap
		p.free(b)
	}
}

// feed wakes those who wait for memory. The caller holds mu.
func (p *Pool) feed() {
	if p.starving > 0 {
		close(p.freed)
		p.freed = make(chan struct{})
	}
}

// free gives a block back. It reports false for one that was changed by another process: that may be a worker that
// has freed it, or one that writes where it must not. The caller holds mu.
func (p *Pool) free(b shm.Block) bool {
	ok := p.store.Free(b)
	p.gotFree()
	return ok
}

// gotFree is called when memory was freed. The caller holds mu.
func (p *Pool) gotFree() {
	p.freeings++
	p.feed()
	p.soil()
}

// tidyEvery is how long memory that is free stays with the pool, once to twice.
const tidyEvery = time.Second

// soil has memory given back to the system some time after it was freed.
func (p *Pool) soil() {
	if !p.soiled.Load() && p.soiled.CompareAndSwap(false, true) {
		time.AfterFunc(tidyEvery, p.tidy)
	}
}

func (p *Pool) tidy() {
	p.soiled.Store(false)
	p.mu.Lock()
	if p.phase >= stopping {
		p.mu.Unlock()
		return
	}
	p.users.Add(1)
	p.mu.Unlock()
	defer p.users.Done()
	p.store.Sweep()
	asked := p.askToSweep()
	if more := p.store.Trim(); more || asked {
		p.soil()
	}
}

// askToSweep asks the workers that keep spans without blocks to give them up. It reports whether there are any.
func (p *Pool) askToSweep() (asked bool) {
	idle := p.store.Idle()
	if len(idle) == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range idle {
		if m := p.memberOf(uint32(h - parentHolder)); m != nil && p.phase < stopping {
			p.mem.workers[m.index].sweep.Store(1) // pairs with the load in worker.next
			p.crowd.wake(m.index)
			asked = true
		}
	}
	return asked
}

// An appetite says whether a worker waits for memory.
type appetite = uint32

const (
	sated  appetite = iota
	hungry          // stored by the worker
	denied          // stored by the parent, over hungry: it waits in vain
)

// errStarved is what a task gets that waited for memory in vain.
var errStarved = errors.New("nothing will be freed: every task that runs waits for memory, or none was freed for a long time")

// longestStep bounds the time between two looks of a worker that waits for memory.
const (
	shortestStep = 200 * time.Microsecond
	longestStep  = 10 * time.Millisecond
)

// allocate returns a block of n bytes for a task, and whether it is known to be zero, once there is room. ended says why
// nobody wants it any more.
func (w *worker) allocate(n int64, ended func() error) (b shm.Block, zero bool, err error) {
	b, zero, err = w.store.Alloc(n)
	if !errors.Is(err, shm.ErrArenaFull) {
		return b, zero, err
	}
	w.waiting.Lock() // one at a time says that this worker is hungry
	defer w.waiting.Unlock()
	defer w.area.hungry.Store(sated)
	for step := shortestStep; ; step = min(2*step, longestStep) {
		w.store.Sweep()
		if b, zero, err = w.store.Alloc(n); !errors.Is(err, shm.ErrArenaFull) {
			return b, zero, err
		}
		if err := ended(); err != nil {
			return shm.Block{}, false, err
		}
		if w.area.hungry.CompareAndSwap(sated, hungry) { // a full fence before the look at the bell
			w.bell.ring()
		} else if w.area.hungry.Load() == denied {
			return shm.Block{}, false, fmt.Errorf("%w: %w", err, errStarved)
		}
		sys.FutexWait(&w.area.hungry, hungry, step)
	}
}

// notEnded is for those who wait whatever happens.
func notEnded() error { return nil }

// starvation is what the parent knows of workers that wait for memory.
type starvation struct {
	relieving bool
	freeings  uint64 // when the workers were last looked at
	endings   uint64
	since     time.Time // nothing was freed
	stuck     bool      // nothing could be, at the last look
}

// starvedFor is how long the workers wait for memory if somebody could free some and does not. Tests shorten it.
var starvedFor = 30 * time.Second

// free gives a block back, and leaves word of it: the parent, which has memory given back to the system, does not see what
// workers free.
func (w *worker) free(b shm.Block) {
	w.store.Free(b)
	if w.area.freed.Load() == 0 {
		w.area.freed.Store(1) // pairs with the load in Pool.noticeMemory
	}
}

// noticeMemory looks whether a worker has freed blocks, and has a goroutine look after workers that wait for
// memory. The caller holds mu.
func (p *Pool) noticeMemory(area *workerArea) {
	if area.freed.Load() != 0 { // pairs with the store in worker.free
		area.freed.Store(0)
		p.soil()
	}
	if area.hungry.Load() == hungry && !p.starvation.relieving && p.phase < stopping { // pairs with the CAS in worker.allocate
		p.starvation = starvation{relieving: true}
		p.users.Add(1)
		go p.relieve()
	}
}

// relieve helps workers that wait for memory, until there is none: it has spans given up, and ends the wait of
// one whenever they wait for each other.
func (p *Pool) relieve() {
	defer p.users.Done()
	ticks := time.NewTicker(retryEvery)
	defer ticks.Stop()
	for {
		p.store.Sweep()
		p.askToSweep()
		if !p.decideHunger() {
			return
		}
		select {
		case <-ticks.C:
		case <-p.quit:
		}
	}
}

// decideHunger reports whether there are workers that wait for memory.
func (p *Pool) decideHunger() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last *workerArea
	if p.phase < stopping && p.broken == nil {
		p.reap()
		for _, m := range p.members {
			if area := &p.mem.workers[m.index]; area.hungry.Load() == hungry {
				last = area
			}
		}
	}
	s := &p.starvation
	if last == nil {
		s.relieving = false
		return false
	}
	stuck := p.deadlocked()
	if s.freeings != p.freeings || s.endings != p.endings || s.since.IsZero() {
		s.freeings, s.endings, s.since, stuck = p.freeings, p.endings, time.Now(), false
	}
	if stuck && s.stuck || time.Since(s.since) > starvedFor {
		if last.hungry.CompareAndSwap(hungry, denied) {
			sys.FutexWake(&last.hungry, 1)
		}
		s.since, stuck = time.Now(), false
	}
	s.stuck = stuck
	return true
}

// deadlocked reports whether nothing will be freed: every task that runs waits for memory, none has just ended, and the
// program holds no blocks. The caller holds mu.
func (p *Pool) deadlocked() bool {
	if p.blocks > 0 || p.copying > 0 {
		return false
	}
	for i := range p.entries {
		if !p.entries[i].live {
			continue
		}
		w := word(p.mem.slots[i].word.Load())
		if w.state() == queued {
			continue
		}
		m := p.memberOf(w.worker())
		if w.state() != running || m == nil || p.mem.workers[m.index].hungry.Load() != hungry {
			return false
		}
	}
	return true
}
