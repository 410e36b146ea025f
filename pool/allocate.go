package pool

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/shmkit/shmkit/shm"
)

// retryEvery is how often somebody who waits for memory looks whether another process has given some back: nobody tells.
const retryEvery = 10 * time.Millisecond

// allocate returns a block of n bytes, and whether it is known to be zero, once there is room. The caller has entered; at errMoved it
// has to leave, and may begin again.
func (p *Pool) allocate(ctx context.Context, n int64) (b shm.Block, zero bool, err error) {
	for trimmed, collected := false, false; ; {
		b, zero, err = p.store.Alloc(n)
		switch {
		case errors.Is(err, shm.ErrNoMemory) && !trimmed:
			p.store.TrimAll() // what is kept for whoever comes next
			trimmed = true
		case errors.Is(err, shm.ErrArenaFull) && !collected && p.forgettable.Load() > 0:
			runtime.GC() // blocks in futures that nobody can wait for any more
			collected = true
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
	if p.moving != nil {
		return errMoved
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
	for !p.reserveArgument(n) {
		if err := p.awaitMemory(ctx); err != nil {
			return shm.Block{}, err
		}
	}
	b, _, err := p.allocate(ctx, n)
	p.argumentAllocated(n, b)
	return b, err
}

// reserveArgument counts n bytes as taken by arguments, if these may have as many. argumentAllocated must follow.
func (p *Pool) reserveArgument(n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.arguments > 0 && p.arguments+n > p.store.Size()/2 && n <= p.store.Size() { // what never fits need not wait to be told
		return false
	}
	p.arguments += n
	return true
}

// argumentAllocated counts b, which has no capacity if there was no room, for the n bytes that were counted.
func (p *Pool) argumentAllocated(n int64, b shm.Block) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arguments += b.Cap - n
}

// freeArgument gives an argument's block back. The caller holds mu.
func (p *Pool) freeArgument(b shm.Block) {
	if b.Cap > 0 {
		p.arguments -= b.Cap
		p.home.free(b)
	}
}

// feed wakes those who wait for memory. The caller holds mu.
func (p *Pool) feed() {
	if p.starving > 0 {
		close(p.freed)
		p.freed = make(chan struct{})
	}
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
	if p.phase >= stopping || p.moving != nil {
		p.mu.Unlock()
		return
	}
	p.inside++
	p.mu.Unlock()
	defer p.exit(1)
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
