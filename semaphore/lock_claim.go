package semaphore

import "github.com/shmkit/shmkit/internal/owner"

// claim claims a turn for this process. Without a place for it, the process gets the lock when it comes at the right moment.
func (l *lock) claim() {
	for i := range l.words.claim {
		c := &l.words.claim[i]
		if v := c.Load(); v == uint64(l.id) || v == 0 && c.CompareAndSwap(0, uint64(l.id)) { // pairs with the loads in settle and next
			break
		}
	}
	l.words.word.Or(claimed) // after the claim: pairs with the And in settle
}

// settle withdraws the claim of this process, which holds the lock now, and that of another in whose place it does; and clears bit claimed
// if there is none left.
func (l *lock) settle(instead owner.ID) {
	if l.withdraw(instead) {
		return
	}
	if l.words.word.Load()&claimed == 0 {
		return
	}
	// One who claims just now sees the bit cleared, and sets it; or has claimed before it was cleared, and is seen here. Killed between the
	// two: those who sleep set the bit when they look next, after the end of this process.
	l.words.word.And(^uint64(claimed))
	for i := range l.words.claim {
		if l.words.claim[i].Load() != 0 {
			l.words.word.Or(claimed)
			return
		}
	}
}

// withdraw takes the claims of this process and of another back, and reports whether there are more.
func (l *lock) withdraw(instead owner.ID) (more bool) {
	for i := range l.words.claim {
		c := &l.words.claim[i]
		switch v := c.Load(); {
		case v == 0:
		case v == uint64(l.id), v == uint64(instead):
			c.CompareAndSwap(v, 0)
		default:
			more = true
		}
	}
	return more
}

// forgo is for a goroutine that has left the queue. If it was the last, others need not wait for this process to take its turn. A turn that
// comes later nevertheless passes after a Step.
func (l *lock) forgo() {
	if !l.queue.Idle() {
		return
	}
	l.withdraw(0)
	for {
		w := l.words.word.Load()
		if w&^claimed != uint64(l.id)|granted {
			return
		}
		if l.words.word.CompareAndSwap(w, w&claimed) {
			l.on().Notify(1)
			return
		}
	}
}

// mind sees to it that this process is told of the ends of all who have claims now: each of them may be the next who holds the lock, and a wake-up
// is for one of those who sleep, so the others are not told who has it. With the queue's lock.
func (l *lock) mind() {
	for i := range l.words.claim {
		v := l.words.claim[i].Load()
		if v == l.known[i] {
			continue
		}
		l.known[i] = v
		if id := holderOf(v); v&flags == 0 && id.Pid() != 0 && id != l.id {
			l.vigil.ended(id)
		}
	}
}
