package pool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/shm"
)

// A pool gets new memory when somebody has written into the old what no honest worker writes: nobody can tell who it was, nor what
// else was written. All workers are ended; then, while nobody of this process is inside the old memory, the tasks that may be
// retried move to the new one, and new workers are started there. What is believed is what the parent has noted for itself.

// errMoved is for those who are inside the memory, or about to take a slot in it: they must leave, and may begin again.
var errMoved = errors.New("the pool gets new memory")

// Rebuild gives the pool new memory and new workers, as it does by itself when the memory is corrupted: what leaked there is gone.
// It waits until the tasks that were accepted have ended, while calls wait for Rebuild; if ctx ends before, nothing has changed. Then
// workers end in an orderly way, or are killed after five seconds; if ctx ends while they do, Rebuild goes on without its caller.
// Blocks that the program holds stay valid, but cannot be given to tasks any more.
func (p *Pool) Rebuild(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.rebuild(ctx)
	if err != nil {
		err = fmt.Errorf("rebuild pool %q: %w", p.opts.Name, err)
	}
	return err
}

func (p *Pool) rebuild(ctx context.Context) error {
	if p.moving != nil { // which is what was asked for
		return p.awaitMoved(ctx)
	}
	if err := p.drain(ctx); err != nil {
		return err
	}
	return p.awaitMoved(ctx)
}

// drain waits until no task is left, and begins the move: nobody gets a slot meanwhile, nor in between. The caller holds mu, which is
// released for a while.
func (p *Pool) drain(ctx context.Context) error {
	if err := p.accepting(); err != nil {
		return err
	}
	p.draining++
	p.watch()
	defer func() {
		p.watched--
		p.draining--
		p.admit() // unless the move has begun
	}()
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.outside.Broadcast()
	})
	defer stop()
	for p.moving == nil {
		if err := p.accepting(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%d tasks have not ended: %w", p.outstanding, err)
		}
		if p.outstanding == 0 {
			p.beginMove(nil)
			break
		}
		p.outside.Wait()
	}
	return nil
}

// awaitMove waits while the pool gets new memory. The caller holds mu, which is released meanwhile.
func (p *Pool) awaitMove(ctx context.Context) (err error) {
	moved := p.moving
	if moved == nil {
		return nil
	}
	p.mu.Unlock()
	select {
	case <-moved:
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	return err
}

// awaitMoved is awaitMove for those who want to know how it went.
func (p *Pool) awaitMoved(ctx context.Context) error {
	if err := p.awaitMove(ctx); err != nil {
		return err
	}
	return p.accepting()
}

// corrupted is called when the shared memory says what cannot be. It returns the error of the tasks that fail because of it. The
// caller holds mu.
func (p *Pool) corrupted(format string, args ...any) error {
	err := fmt.Errorf("pool %q: %s: %w", p.opts.Name, fmt.Sprintf(format, args...), ErrCorrupted)
	switch {
	case p.moving != nil || p.broken != nil:
	case p.phase >= stopping:
		p.killAll()
	case !p.started:
		p.fail(err)
	default:
		p.beginMove(err)
	}
	return err
}

// beginMove has the pool get new memory: at once if the old is corrupted, as err says, or else when the workers have ended by
// themselves. The caller holds mu.
func (p *Pool) beginMove(err error) {
	p.moving = make(chan struct{})
	p.dismissWaiters()
	p.feed()
	if err != nil {
		p.failAllBut(err, p.movable)
		p.killAll()
	} else {
		p.retireAll()
	}
	p.watchers.Add(1)
	go p.move(err)
}

// retireAll has all workers end, in time or by SIGKILL, for new memory. The caller holds mu.
func (p *Pool) retireAll() {
	for _, m := range p.members {
		p.retireWorker(m)
	}
	moving := p.moving
	time.AfterFunc(stopTimeout, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.moving == moving {
			p.killAll()
		}
	})
}

// endMove lets all go on who have waited for the new memory, or for the end of the pool. The caller holds mu.
func (p *Pool) endMove() {
	if p.moving != nil {
		close(p.moving)
		p.moving = nil
	}
	p.outside.Broadcast()
}

// move does what has to wait until the workers are dead.
func (p *Pool) move(cause error) {
	defer p.watchers.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.deserted() {
		p.outside.Wait()
	}
	if p.ending() {
		return
	}
	p.mu.Unlock()
	next, err := p.newHome()
	p.mu.Lock()
	switch {
	case err != nil:
		p.fail(fmt.Errorf("pool %q: no new memory: %w", p.opts.Name, errors.Join(err, cause)))
	case p.ending():
		_ = next.seg.Close() // nobody has used it
	default:
		p.settleIn(next, cause)
	}
}

// newHome makes the new memory. If there is none, the old one gives back what nobody of this process holds: all else is dead.
func (p *Pool) newHome() (*estate, error) {
	next, err := newEstate(p.opts)
	if err == nil {
		return next, nil
	}
	for _, m := range p.members {
		p.store.Reclaim(workerHolder(m.incarnation))
	}
	p.store.TrimAll()
	return newEstate(p.opts)
}

// ending reports whether the pool will not need new memory. The caller holds mu.
func (p *Pool) ending() bool { return p.phase >= stopping || p.broken != nil }

// deserted reports whether nobody uses the memory any more: a worker that cannot be ended will never run again. The caller holds mu.
func (p *Pool) deserted() bool {
	if p.ending() {
		return true
	}
	for _, m := range p.members {
		if m.spawning || m.proc != nil && !m.limbo {
			return false
		}
	}
	return p.inside == 0
}

// settleIn moves the pool to new memory. The caller holds mu.
func (p *Pool) settleIn(next *estate, cause error) {
	old := p.home
	for i := range p.entries {
		e := &p.entries[i]
		e.ahead = false
		if e.live && e.task == nil {
			p.unload(uint32(i))
			p.moveOut(uint32(i))
		}
	}
	old.mem.told.Board.Leave(telemetry.Moved)
	p.occupy(next)
	p.showIn(next.mem)
	p.ready, p.unhinted, p.nearby, p.arguments = next.mem.ready.Producer(0), false, 0, 0
	for i := range p.members {
		p.members[i] = p.newMember(i)
	}
	if p.dryMoves++; p.tallies.Value(telemetry.Succeeded) != p.successes {
		p.dryMoves, p.successes = 0, p.tallies.Value(telemetry.Succeeded)
	}
	if p.watching == old {
		old.pin()
	}
	old.bell.rouse() // the reaper may sleep there
	p.endMove()
	for i := range p.entries {
		if p.entries[i].live {
			p.moveIn(uint32(i), old, cause)
		}
	}
	old.leave()
	p.tallies.Add(telemetry.Rebuilds, 1)
	p.event(telemetry.Rebuilt, 0, 0)
	p.admit()
	p.adjust()
}

// movable reports whether a task may begin again in new memory, which costs it a try: nobody can tell whether it has begun.
func (p *Pool) movable(e *entry) bool {
	if e.retries == 0 || e.task.part() != nil || e.expired {
		return false
	}
	if e.cargo != nil && len(e.cargo.moved)+len(e.cargo.frozen) > 0 {
		return false
	}
	e.retries--
	return true
}

// moveOut frees the slot of a task that does not move. What it had in the old memory goes with that. The caller holds mu.
func (p *Pool) moveOut(i uint32) {
	e := &p.entries[i]
	p.timeKept(e)
	e.live, e.task, e.out, e.cargo, e.block, e.stamp = false, nil, nil, nil, shm.Block{}, 0
	p.releaseSlot(i)
	if !e.quarantined {
		p.ended()
	}
}

// moveIn queues the task in slot i, whose argument is in the old memory. The caller holds mu.
func (p *Pool) moveIn(i uint32, old *estate, cause error) {
	e := &p.entries[i]
	e.ordeal = &ordeal{deaths: e.deaths()}
	if err := p.moveArgument(i, old); err != nil {
		err = errors.Join(cause, err)
		p.failed(e.def, err)
		e.task.fail(err)
		p.moveOut(i)
		return
	}
	p.restart(i)
}

// moveArgument copies the argument of the task in slot i. Where it lies and how long it is was written by the parent, but anybody may
// have changed it since: it is read once and checked.
func (p *Pool) moveArgument(i uint32, old *estate) error {
	e := &p.entries[i]
	from, to := &old.mem.slots[i], &p.mem.slots[i]
	kind, n, block := from.argKind, from.argLen, e.block
	e.block = shm.Block{}
	to.fn, to.retried, to.argKind, to.argLen = e.def.id, 1, kind, n
	switch {
	case (kind == distant) != (block.Cap > 0):
	case kind == inline && n <= inlineBytes:
		to.arg = from.arg
		return nil
	case kind == near && n <= nearBytes:
		copy(p.mem.argNear(i), old.mem.argNear(i))
		return nil
	case kind == distant && n <= uint64(block.Cap):
		b, _, err := p.store.Alloc(int64(n))
		if err != nil {
			return err
		}
		copy(p.store.Bytes(b)[:n], old.store.Bytes(block)[:n])
		binary.LittleEndian.PutUint64(to.arg[:], uint64(b.Off))
		e.block = b
		p.arguments += b.Cap
		return nil
	}
	return fmt.Errorf("%s: argument of %d bytes at place %d", e.def.name, n, kind)
}

// restart queues the task in slot i once more, under another generation. The caller holds mu.
func (p *Pool) restart(i uint32) {
	e := &p.entries[i]
	e.ahead = false
	e.gen = (e.gen + 1) & maxGeneration
	sys.ReleaseStore64(&e.task.state, uint64(makeTaskID(i, e.gen)))
	p.enqueue(i)
}

// admit hands free slots to those who wait for one. The caller holds mu.
func (p *Pool) admit() {
	for len(p.waiters) > 0 && len(p.freeSlots) > 0 && !p.halted() && p.accepting() == nil {
		last := len(p.freeSlots) - 1
		i := p.freeSlots[last]
		p.freeSlots = p.freeSlots[:last]
		p.handOver(i)
	}
}

// halted reports whether nobody gets a slot. The caller holds mu.
func (p *Pool) halted() bool { return p.moving != nil || p.draining > 0 }
