package explore

// A Lock is what a mutex of one process is to an exploration: see package sync beside this one.
type Lock struct {
	held  bool
	taken uint64 // how often: the order in which processes had it is what they have learnt
}

// Lock takes the lock, once nobody has it. It reports false outside of an exploration.
func (l *Lock) Lock() bool {
	w := world
	if w == nil || w.running == nil {
		return false
	}
	p := w.enter()
	p.see(7) // or it would stand where it stood at its last hook
	w.yield()
	for l.held {
		p.state, p.until = waiting, func() bool { return !l.held }
		w.pass(p, w.choose(p))
	}
	l.take(p)
	return true
}

// TryLock takes the lock if nobody has it.
func (l *Lock) TryLock() (ok, explored bool) {
	w := world
	if w == nil || w.running == nil {
		return false, false
	}
	p := w.enter()
	p.see(7) // or it would stand where it stood at its last hook
	w.yield()
	if l.held {
		p.see(5)
		return false, true
	}
	l.take(p)
	return true, true
}

func (l *Lock) take(p *Process) {
	p.drainAll()
	l.held = true
	l.taken++
	p.see(l.taken<<8 | 6)
}

// Unlock gives the lock back. Of a process that has crashed it does so too: its memory, and who might wait there, are gone with it.
func (l *Lock) Unlock() bool {
	if world == nil || world.running == nil {
		return false
	}
	world.running.drainAll() // who takes the lock next sees all that this process has stored
	l.held = false
	return true
}
