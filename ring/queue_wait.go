package ring

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/backoff"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

// Between two looks there are pauses, each twice as long as the last. A look takes lines away from those who put or get just now; who
// comes a little later finds several items, or room for several, in lines that the others have left. Where many items went through
// since the last time, many will be there soon, and the first pause is long: otherwise both sides share each line, item by item.
const (
	firstPause = 100 * time.Nanosecond
	lastPause  = 2 * time.Microsecond
	perItem    = 10 * time.Nanosecond // by how much the first pause is longer for each item
	flowPause  = time.Microsecond     // and how long it is at most
)

// lookFor is how long a call looks before it joins those who wait: what another process that is running needs to put or get an item.
const lookFor = 10 * time.Microsecond

// A side is those goroutines of this process who wait to put, or to get, or to join.
type side struct {
	*semaphore.Waitqueue
	at   *atomic.Uint64 // how far those have come whom it is about; nil: that does not matter
	last atomic.Uint64  // where that was when somebody waited last
}

// pause returns how long who begins to wait pauses first.
func (s *side) pause() time.Duration {
	if s.at == nil {
		return firstPause
	}
	at := s.at.Load()
	return firstPause + min(time.Duration(at-s.last.Swap(at)), flowPause/perItem)*perItem
}

// await waits until try succeeds or fails, or ctx has ended: then its error is returned, unless try has succeeded all the same. on is
// notified after each change for one of those who may use it; if more may, as more says, the caller tells the next.
func (q *queueCore) await(ctx context.Context, s *side, on semaphore.Eventcount,
	try func() (bool, error), more func() bool) error {
	if !q.hold() {
		return errNotOpen
	}
	defer q.life.RUnlock()
	return q.awaitHeld(ctx, s, on, try, more)
}

// hold keeps Close from unmapping the memory until the caller calls q.life.RUnlock, which it does without delay once the queue is not open
// any more: ok is false if it is not now, and then there is nothing to unlock.
func (q *queueCore) hold() (ok bool) {
	q.life.RLock()
	if !q.open.Load() {
		q.life.RUnlock()
		return false
	}
	return true
}

// tryOrAwait tries before it waits, unless others wait already.
func (q *queueCore) tryOrAwait(ctx context.Context, s *side, on semaphore.Eventcount,
	try func() (bool, error), more func() bool) error {
	if s.Idle() {
		if ok, err := try(); ok || err != nil {
			return err
		}
	}
	return q.awaitHeld(ctx, s, on, try, more)
}

// awaitHeld is await for who holds the memory.
func (q *queueCore) awaitHeld(ctx context.Context, s *side, on semaphore.Eventcount,
	try func() (bool, error), more func() bool) error {
	if s.Idle() && runtime.GOMAXPROCS(0) > 1 {
		pause := s.pause()
		for spin := backoff.For(lookFor); spin.Long(pause); pause = min(2*pause, lastPause) {
			if ok, err := try(); ok || err != nil {
				return err
			}
		}
	}
	q.mind()
	var failed error // written by the queue's server before it closes the waiter's channel
	served, err := s.Wait(ctx, on, func() bool {
		if !q.open.Load() {
			failed = errNotOpen
			return true
		}
		var ok bool
		if ok, failed = try(); !ok && failed == nil {
			q.mind()
			return false
		}
		if more() {
			on.Notify(1)
		}
		return true
	})
	if served {
		return failed
	}
	return err
}

// mind sees to it that this process is told when a participant ends. It costs nothing while those are the same.
func (q *queueCore) mind() {
	if roster := q.ring.ctl.roster.Load() + 1; q.watch.roster.Load() != roster {
		q.watch.renew(q.ring, roster, q.mourn)
	}
	if q.watch.blind.Load() {
		q.watch.peer(q.ring)
	}
}

// mourn is called when a participant has ended.
func (q *queueCore) mourn() {
	if q.hold() {
		q.ring.Recover()
		q.watch.doubt()
		q.life.RUnlock()
	}
}

// A vigil is how a process knows of the end of other participants. It begins when somebody waits, and lasts as long as
// the handle: a descriptor for each process, and nothing else.
type vigil struct {
	roster atomic.Uint32 // that of the table for which it is right, plus 1; 0: of none
	blind  atomic.Bool   // some cannot be watched

	mu     sync.Mutex
	stops  map[owner.ID]func()
	looked time.Time
}

// renew watches those who are in the table now.
func (v *vigil) renew(m *MPMC, roster uint32, ended func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stops == nil {
		v.stops = map[owner.ID]func(){}
	}
	now, blind := map[owner.ID]func(){}, false
	for i := range m.table {
		id := owner.ID(m.table[i].owner.Load() &^ burying)
		if id == 0 || id == left || id == m.id || now[id] != nil {
			continue
		}
		stop := v.stops[id]
		if stop == nil {
			var err error
			if stop, err = id.OnEnd(ended); err != nil {
				blind = true
				continue
			}
		}
		now[id] = stop
		delete(v.stops, id)
	}
	for _, stop := range v.stops {
		stop()
	}
	v.stops = now
	v.blind.Store(blind)
	v.roster.Store(roster)
}

// doubt has the table read again: one who is burying the dead, of whom nobody can know as it has no place itself yet, may die too.
func (v *vigil) doubt() {
	v.mu.Lock() // a renewal that has begun has read the table before
	defer v.mu.Unlock()
	v.roster.Store(0)
}

// peer looks for itself, each step, where the system does not tell.
func (v *vigil) peer(m *MPMC) {
	v.mu.Lock()
	late := time.Since(v.looked) >= semaphore.Step
	if late {
		v.looked = time.Now()
	}
	v.mu.Unlock()
	if late {
		m.Recover()
	}
}

func (v *vigil) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, stop := range v.stops {
		stop()
	}
	v.stops = nil
	v.roster.Store(0)
}
