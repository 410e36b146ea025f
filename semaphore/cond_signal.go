package semaphore

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// Signal wakes one who waits, if anybody does.
func (c *Cond) Signal() { c.Notify(1) }

// Notify wakes n who wait, or all if they are fewer. A negative n panics.
func (c *Cond) Notify(n int) {
	if n < 0 {
		panic(fmt.Sprintf("semaphore: Notify of %d waiters: negative", n))
	}
	sys.RaceRelease(&c.order)
	for range n {
		if !c.signal() {
			return
		}
	}
}

// Broadcast wakes all who wait.
func (c *Cond) Broadcast() {
	sys.RaceRelease(&c.order)
	for i := range c.used() {
		c.grant(i, maxTally)
	}
}

// used returns how many places there are in which somebody may wait.
func (c *Cond) used() int { return int(min(c.body.top.Load(), Seats)) } // pairs with the CAS in attach

// signal tells one who waits, on the handle whose turn it is, and reports whether there was any.
func (c *Cond) signal() (ok bool) {
	n := c.used()
	turn := int(c.body.turn.Load() % Seats)
	for k := range n {
		i := (turn + k) % n
		if c.grant(i, 1) {
			c.body.turn.Store(uint32(i + 1)) // a hint: of two who signal at once, one store counts
			return true
		}
	}
	return false
}

// grant tells up to n of those who wait in place i, and reports whether there was any.
func (c *Cond) grant(i int, n uint64) (ok bool) {
	p := &c.body.places[i]
	for {
		t := p.load()
		k := min(t.waiting(), n)
		if k == 0 {
			return false
		}
		// Killed before it: nobody was told. After it: who was told notices within Step.
		if p.swap(t, t.with(t.waiting()-k, t.signalled()+k)) {
			c.bell(i).NotifyAll()
			return true
		}
	}
}

func (c *Cond) bell(i int) Eventcount { return EventcountOn(&c.body.places[i].bell) }

// place returns that of this handle.
func (c *Cond) place() *place { return &c.body.places[c.seat.self] }

// begin counts the caller among those who wait. It holds the lock.
func (c *Cond) begin() error {
	p := c.place()
	for {
		t := p.load()
		if t.waiting()+t.signalled() >= maxTally {
			return fmt.Errorf("wait for condition: %d wait on this handle already", maxTally)
		}
		if p.swap(t, t.with(t.waiting()+1, t.signalled())) {
			return nil
		}
	}
}

// take reports whether there is a signal for the first who waits on this handle, who has it then. The server calls it, with the queue's lock.
func (c *Cond) take() (ok bool, err error) {
	c.seat.mind()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch t := c.place().load(); {
	case t.signalled() > c.going:
		c.going++
		return true, nil
	case t.waiting() == 0:
		return false, c.uncounted(t)
	}
	return false, nil
}

// leave is for one who waits no more. It reports whether it was signalled: all on this handle were who are left.
func (c *Cond) leave() (signalled bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.place()
	for {
		t := p.load()
		if t.waiting() == 0 {
			if t.signalled() <= c.going {
				return false, c.uncounted(t)
			}
			c.going++
			return true, nil
		}
		if p.swap(t, t.with(t.waiting()-1, t.signalled())) {
			return false, nil
		}
	}
}

// finish is for one who was signalled, and has the lock now: its death is known to others by that.
func (c *Cond) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.going--
	p := c.place()
	for {
		t := p.load()
		// Killed before the CAS: others are signalled too, and the next who locks is told. With a tally that counts nobody, somebody has
		// written what he must not.
		if t.signalled() == 0 || p.swap(t, t.with(t.waiting(), t.signalled()-1)) {
			return
		}
	}
}

func (c *Cond) uncounted(t tally) error {
	return fmt.Errorf("wait for condition: word %#x of place %d counts nobody: %w", uint64(t), c.seat.self, ErrCorrupted)
}

// bury has others signalled in place of those who have died with the process that had seat i. It may be called by several at once, which
// all do so, and again when one of them has died: the signal of the dead goes only after another was signalled.
func (c *Cond) bury(i int, dead owner.ID) {
	p := &c.body.places[i]
	for {
		t := p.load()
		if t.waiting() == 0 && t.signalled() == 0 || !c.seat.isOf(i, dead) {
			return
		}
		next := t.with(0, t.signalled())
		if t.waiting() == 0 {
			c.signal()
			// Killed here: the next who looks signals one more.
			next = t.with(0, t.signalled()-1)
		}
		p.swap(t, next)
	}
}
