package semaphore

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// try takes n permits for the first who waits. The server calls it, with the queue's lock.
func (s *Semaphore) try(n int64) (ok bool, err error) {
	if s.eventcount(n).word.Load()&waiting != 0 { // else nobody is about to sleep, this server neither: it looks again very soon
		s.turns.stand()
	}
	if ok, err = s.insist(n, s.turns.vigil.ended); !ok && err == nil {
		s.turns.beat()
	}
	return ok, err
}

// insist is take, again after the dead were buried and passed over if that may help.
func (s *Semaphore) insist(n int64, gone func(owner.ID) bool) (ok bool, err error) {
	if ok, err = s.take(n); ok || err != nil {
		return ok, err
	}
	passed := s.turns.pass(gone)
	if s.ledger != nil {
		s.ledger.mind()
	}
	if passed || s.ledger != nil {
		return s.take(n)
	}
	return false, nil
}

// take moves n permits from the shared word to the caller, if it has them and it is nobody else's turn.
func (s *Semaphore) take(n int64) (ok bool, err error) {
	w := s.turns.look()
	if w&claimed == 0 {
		return s.grab(n)
	}
	if !s.turns.open(w) {
		return false, nil
	}
	if ok, err = s.grab(n); ok {
		s.turns.taken()
	}
	return ok, err
}

// grab is take whoever's turn it is.
func (s *Semaphore) grab(n int64) (ok bool, err error) {
	if s.ledger != nil {
		if ok, err = s.ledger.take(n); ok {
			sys.RaceAcquire(&s.order)
		}
		return ok, err
	}
	for {
		free := s.body.free.Load() // pairs with the CAS in Release
		if free < 0 || free > s.capacity {
			return false, fmt.Errorf("acquire semaphore: %d of %d permits free: %w", free, s.capacity, ErrCorrupted)
		}
		if free < n {
			return false, nil
		}
		// Killed before the CAS: nothing was taken. After it: the permits are gone
		// with the process.
		if s.body.free.CompareAndSwap(free, free-n) {
			sys.RaceAcquire(&s.order)
			return true, nil
		}
	}
}

// give moves n permits to the shared word.
func (s *Semaphore) give(n int64) {
	if s.ledger != nil {
		s.ledger.give(n)
		return
	}
	for {
		free := s.body.free.Load()
		if free < 0 || free > s.capacity-n {
			panic(fmt.Sprintf("semaphore: released more than held: %d with %d of %d free", n, free, s.capacity))
		}
		// Hands over all that was written under the permits; pairs with take. It
		// is also the change that the eventcounts' protocol asks for.
		if s.body.free.CompareAndSwap(free, free+n) {
			return
		}
	}
}

// wake tells those who may have n permits that have come free.
func (s *Semaphore) wake(n int64) {
	if turnOf(s.turns.look()) != 0 { // after the permits were given: see turns
		s.tellAll()
		return
	}
	EventcountOn(&s.body.single).Notify(int(min(n, sys.All)))
	EventcountOn(&s.body.many).NotifyAll()
}

func (s *Semaphore) tellAll() {
	EventcountOn(&s.body.single).NotifyAll()
	EventcountOn(&s.body.many).NotifyAll()
}
