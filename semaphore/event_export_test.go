package semaphore

// Unbounded makes the waiters of e sleep until they are woken.
func (e *Event) Unbounded() { e.queue.step = -1 }

// Asleep reports that somebody of this handle sleeps, or is one step before it.
func (e *Event) Asleep() bool { return e.queue.isAsleep() }

// Unbounded makes the waiters of c sleep until they are woken, and Mind has the deaths of others told before.
func (c *Cond) Unbounded() { c.queue.step = -1 }
func (c *Cond) Mind()      { c.seat.mind() }

// Asleep reports that somebody of this handle sleeps, or is one step before it.
func (c *Cond) Asleep() bool { return c.queue.isAsleep() }

// SignalSeat signals one who waits on the handle that has seat i.
func (c *Cond) SignalSeat(i int) bool { return c.grant(i, 1) }

// Counted returns how many wait and are signalled on the handle that has seat i.
func (c *Cond) Counted(i int) (waiting, signalled int) {
	t := c.body.places[i].load()
	return int(t.waiting()), int(t.signalled())
}

func (q *Waitqueue) isAsleep() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.asleep
}
