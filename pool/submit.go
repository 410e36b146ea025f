package pool

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/shm"
)

// An entry is the parent's private record of a slot: what it believes when the shared
// bytes say something else.
type entry struct {
	gen   uint64
	task  *promise // nil once nobody wants the result
	def   *definition
	out   []byte    // where a pointer-free result goes
	block shm.Block // the argument's; Cap is 0 if there is none
	cargo *cargo    // what the task was given by reference; nil if nothing
	live  bool

	expired     bool          // it has run for longer than limit
	quarantined bool          // it has ended, and its worker, which was killed, has not
	limit       time.Duration // how long the task may run; 0: for ever
	stamp       int64         // when it was accepted, if it is told of; or 0
	retries     int           // how often it may begin again
	ordeal      *ordeal       // nil for nearly all

	// hint is the position of the slot's last hint in the ready ring. While ahead is true it may not
	// have been taken, and no second one is pushed.
	hint  uint64
	ahead bool
}

// An ordeal is what a task has gone through.
type ordeal struct {
	deaths []*WorkerDiedError // of workers that ran it before
	fate   error              // why its worker was ended, if not because of the task's context or time
}

func (e *entry) fate() error {
	if e.ordeal == nil {
		return nil
	}
	return e.ordeal.fate
}

func (e *entry) deaths() []*WorkerDiedError {
	if e.ordeal == nil {
		return nil
	}
	return e.ordeal.deaths
}

// A slotWaiter waits for a slot. It is handed one, or none when the pool closes.
type slotWaiter struct {
	ch   chan struct{}
	slot uint32
	ok   bool
}

// slot is takeSlot for those who have nothing in the pool's memory yet.
func (p *Pool) slot(ctx context.Context) (uint32, error) {
	for {
		i, err := p.takeSlot(ctx)
		if err != errMoved {
			return i, err
		}
		if err := p.awaitMove(ctx); err != nil {
			return 0, err
		}
	}
}

// takeSlot returns a free slot, which counts as an accepted task from then on. It waits
// while all are taken. At errMoved the caller has to leave the pool's memory, and may begin again. The caller holds mu, which is
// released meanwhile.
func (p *Pool) takeSlot(ctx context.Context) (uint32, error) {
	if err := p.accepting(); err != nil {
		return 0, err
	}
	if p.moving != nil {
		return 0, errMoved
	}
	if len(p.freeSlots) == 0 {
		p.reap()
	}
	if n := len(p.freeSlots); n > 0 && p.draining == 0 {
		i := p.freeSlots[n-1]
		p.freeSlots = p.freeSlots[:n-1]
		p.owe(1)
		return i, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return p.waitForSlot(ctx)
}

// accepting returns why no task is accepted, or nil.
func (p *Pool) accepting() error {
	if p.broken != nil {
		return p.broken
	}
	if p.phase != open {
		return ErrClosed
	}
	return nil
}

// usable returns why a task that was accepted can no longer be published, or nil. A pool that is
// closing counts on it.
func (p *Pool) usable() error {
	if p.broken != nil || p.phase >= terminated {
		return errors.Join(p.broken, ErrClosed)
	}
	return nil
}

// stillUsable is usable, or errMoved.
func (p *Pool) stillUsable() error {
	if err := p.usable(); err != nil || p.moving == nil {
		return err
	}
	return errMoved
}

func (p *Pool) waitForSlot(ctx context.Context) (uint32, error) {
	w := &slotWaiter{ch: make(chan struct{})}
	p.waiters = append(p.waiters, w)
	p.watch()
	p.mu.Unlock()
	select {
	case <-w.ch:
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.watched--
	if w.ok {
		err := ctx.Err()
		switch {
		case p.broken != nil || p.phase >= terminated: // meanwhile; a closing pool counts on the task
			err = p.accepting()
		case p.moving != nil:
			err = errMoved
		}
		if err != nil {
			p.releaseSlot(w.slot) // to the next
			p.ended()
		}
		return w.slot, err
	}
	for i, other := range p.waiters {
		if other == w {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			return 0, ctx.Err()
		}
	}
	return 0, cmp.Or(p.accepting(), errMoved)
}

// releaseSlot hands the slot to whoever waits for one.
func (p *Pool) releaseSlot(i uint32) {
	if len(p.waiters) > 0 && p.accepting() == nil && !p.halted() {
		p.handOver(i)
	} else {
		p.freeSlots = append(p.freeSlots, i)
	}
}

func (p *Pool) handOver(i uint32) {
	w := p.waiters[0]
	p.waiters = p.waiters[1:]
	w.slot, w.ok = i, true
	p.owe(1)
	p.woken = true
	close(w.ch)
}

// dismissWaiters sends everyone away who waits for a slot.
func (p *Pool) dismissWaiters() {
	for _, w := range p.waiters {
		close(w.ch)
	}
	p.waiters = nil
}

// accept counts a task, and publishes it so that it ends when ctx does. The caller holds mu.
func (p *Pool) accept(ctx context.Context, pr *promise, i uint32, out []byte) {
	if ctx.Done() != nil {
		pr.follow(ctx)
	}
	p.tallies.Add(telemetry.Accepted, 1)
	p.tallies.Add(telemetry.ArgumentBytes, p.mem.slots[i].argLen) // as it was just written
	p.publish(pr, i, out)
}

// publish makes the task in slot i, whose argument is written, known to the workers.
// The caller holds mu.
func (p *Pool) publish(pr *promise, i uint32, out []byte) {
	e := &p.entries[i]
	e.live, e.task, e.def, e.out = true, pr, pr.def, out
	e.gen, e.expired, e.quarantined, e.ordeal = (e.gen+1)&maxGeneration, false, false, nil
	p.keepTime(i)
	p.observe()
	sys.ReleaseStore64(&pr.state, uint64(makeTaskID(i, e.gen)))
	s := &p.mem.slots[i]
	s.fn, s.retried = pr.def.id, 0
	if e.retries > 0 {
		s.retried = 1
	}
	p.stamp(i)
	p.enqueue(i)
}

// enqueue makes slot i claimable, which is written. The caller holds mu.
func (p *Pool) enqueue(i uint32) {
	e := &p.entries[i]
	word := &p.mem.slots[i].word
	// One store hands the slot over; pairs with the CAS in worker.claim. A worker that has an old hint may claim it at once.
	if e.ahead {
		word.Store(uint64(makeWord(queued, 0, e.gen))) // the full fence that hint needs
		p.hint(i)
	} else {
		sys.ReleaseStore64(word, uint64(makeWord(queued, 0, e.gen)))
		p.push(i)
	}
	if p.crowd.call() {
		p.waking = true
		p.tallies.Add(telemetry.Woken, 1)
	}
	if p.dormant {
		p.kickReaper()
	}
}

// hint pushes slot i's number unless one is still ahead. The slot's word was stored, with
// a full fence if one may be ahead: a worker that takes the old hint after the look at
// head finds the new task.
func (p *Pool) hint(i uint32) {
	e := &p.entries[i]
	if e.ahead && p.untaken(e.hint) {
		return
	}
	p.push(i)
}

func (p *Pool) push(i uint32) {
	e := &p.entries[i]
	if e.hint, e.ahead = p.ready.TryPush(i); !e.ahead {
		p.unhinted = true // the next reap tries again
	}
}

// untaken reports whether the hint at pos has not been taken.
func (p *Pool) untaken(pos uint64) bool {
	head := p.ready.Head()
	return pos-head < p.ready.Tail()-head
}

// rehint pushes the hints of all waiting tasks for which none is ahead.
func (p *Pool) rehint() {
	p.unhinted = false
	for i := range p.entries {
		e := &p.entries[i]
		if e.live && word(p.mem.slots[i].word.Load()).state() == queued {
			p.hint(uint32(i))
		}
	}
}

// follow ends the task when ctx ends. The caller holds mu, so that the end is not
// handled before the task is published.
func (pr *promise) follow(ctx context.Context) {
	if pr.more != nil && pr.more.wake != nil {
		return // a Call watches its context itself
	}
	pr.extend().unhook = context.AfterFunc(ctx, func() { pr.pool.abandon(pr, ctx.Err()) })
}

// abandon ends a task that nobody wants any more: without running it, if no worker has
// claimed it; otherwise its context ends and its result is dropped.
func (p *Pool) abandon(pr *promise, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pr.finished() || pr.id() == 0 {
		return
	}
	p.tallies.Add(telemetry.Cancelled, pr.items())
	i, gen := pr.id().slot(), pr.id().gen()
	e := &p.entries[i]
	if e.live && e.gen == gen {
		s := &p.mem.slots[i]
		if s.word.CompareAndSwap(uint64(makeWord(queued, 0, gen)), uint64(makeWord(free, 0, gen))) {
			p.takeBack(i)
			p.retire(i)
			p.ended()
		} else {
			e.task = nil
			p.order(i, word(s.word.Load()), reasonFor(err))
			p.pursue(i, gen)
		}
	}
	pr.fail(err)
}
