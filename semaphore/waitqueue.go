package semaphore

import (
	"container/list"
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/backoff"
)

// spinFor is how long a Waitqueue looks before it sleeps: less than a sleep and a
// wake-up cost, more than a short critical section.
const spinFor = 20 * time.Microsecond

// fenceLag is how long the first sleep on a fencing eventcount is: a change that was missed is seen by then.
const fenceLag = time.Millisecond

// A Waitqueue lets any number of goroutines of one process wait for conditions on
// shared memory, in the order in which they came, at the cost of one thread while anybody
// waits. It lies in the Go heap, in the handle of an object, and is for those who build
// objects of their own on an [Eventcount]. All methods may be called concurrently.
//
// One goroutine at a time, the server, acts for all of them: it tries the condition
// of the first waiter until that fails, announces itself on the first waiter's
// eventcount, tries once more, and sleeps. It starts with the first waiter and
// ends when nobody waits. Waiters sleep on a channel and leave when they are served or
// their context ends.
//
// A wake-up by Notify(1) is spent on one process. Who was woken tries for its first
// waiter, which uses the wake-up or shows that there is nothing for it; but if that
// waiter left meanwhile and the next one waits for something else, or nobody waits, then
// the wake-up is passed on. This needs all waiters on an eventcount that is
// notified one at a time to wait for the same condition.
type Waitqueue struct {
	step time.Duration // longest sleep; constant after init
	bits uint32        // this queue's name in FUTEX_WAIT_BITSET; constant after init

	waiters atomic.Int64 // len(queue), for a look without the lock

	server sync.WaitGroup // 1 while there is one

	mu      sync.Mutex
	queue   list.List // of *waiter, in order of arrival
	serving bool      // there is a server
	asleep  *waiter   // for whom the server sleeps, or is about to; nil: it is awake
}

// A waiter is one goroutine in wait.
type waiter struct {
	on     Eventcount    // notified after changes that may make try succeed
	try    func() bool   // called by the server, with the queue's lock
	served chan struct{} // closed by the server, after try succeeded
	place  *list.Element // nil when it is no longer in the queue
}

// NewWaitqueue returns a queue in which nobody waits.
func NewWaitqueue() *Waitqueue {
	q := new(Waitqueue)
	q.init()
	return q
}

// init makes the queue usable. Several queues of a machine may draw the same bit: a
// kick then wakes one more server, which looks and sleeps again.
func (q *Waitqueue) init() {
	q.step = Step
	q.bits = 1 << rand.IntN(32)
}

// Idle reports that nobody waits: one who comes now overtakes nobody.
func (q *Waitqueue) Idle() bool { return q.waiters.Load() == 0 }

// Wait blocks until try has succeeded (served) or ctx has ended (err is ctx's). Both
// may be true: then the caller has what try took, and an ended context.
//
// try takes what it waits for, or returns false and has changed nothing. It is called
// by another goroutine and must be short; after every change that may let it
// succeed, on must be notified. It is called again, whatever happens, every [Step] or so
// for the one who waits longest.
func (q *Waitqueue) Wait(ctx context.Context, on Eventcount, try func() bool) (served bool, err error) {
	w := &waiter{on: on, try: try, served: make(chan struct{})}
	q.join(w)
	select {
	case <-w.served:
		return true, ctx.Err()
	case <-ctx.Done():
		return q.leave(w), ctx.Err()
	}
}

func (q *Waitqueue) join(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.place = q.queue.PushBack(w)
	q.waiters.Add(1)
	if !q.serving {
		q.serving = true
		q.server.Go(q.serve)
	}
}

// Drain waits until nobody waits and the server has ended: it looks at the shared
// words for a moment longer than those it serves.
func (q *Waitqueue) Drain() { q.server.Wait() }

// leave takes w out of the queue, or reports that it had been served. If the server
// sleeps for w, it must look at who is first now.
func (q *Waitqueue) leave(w *waiter) (served bool) {
	q.mu.Lock()
	if w.place == nil {
		q.mu.Unlock()
		return true
	}
	q.remove(w)
	kick := q.asleep == w
	if kick {
		q.asleep = nil
	}
	q.mu.Unlock()
	if kick {
		w.on.kick(q.bits)
	}
	return false
}

// remove takes w out of the queue; the caller holds the lock.
func (q *Waitqueue) remove(w *waiter) {
	q.queue.Remove(w.place)
	w.place = nil
	q.waiters.Add(-1)
}

// serve is the server. A sleep that ends by itself is no sign of activity, so the
// next one follows without a spin.
func (q *Waitqueue) serve() {
	spin, calm := newSpin(), false
	for first := q.advance(); first != nil; first = q.advance() {
		if spin.Once() {
			continue
		}
		runtime.Gosched() // who could give us what we wait for may be runnable right here
		ticket := first.on.Announce()
		if !q.commit(first) {
			continue
		}
		// Killed from here on: the bit in the word stays, and a wake-up that was
		// spent on us is lost. Eventcount says what becomes of both.
		timedOut := first.on.sleepAs(ticket, q.patience(first.on, calm), q.bits)
		calm = timedOut
		unused := q.awake(first)
		if timedOut { // and so not woken by anybody
			continue
		}
		spin = newSpin()
		if unused {
			first.on.Notify(1)
		}
	}
}

// patience returns how long a sleep on e may be. calm says that the last one ended by itself.
func (q *Waitqueue) patience(e Eventcount, calm bool) time.Duration {
	if e.fencing && !calm {
		return min(fenceLag, q.step)
	}
	return q.step
}

// newSpin returns the spin before a sleep. With a single processor for Go code it is
// none: spinning would only keep the others from running.
func newSpin() backoff.Spin {
	if runtime.GOMAXPROCS(0) == 1 {
		return backoff.For(0)
	}
	return backoff.For(spinFor)
}

// advance serves waiters from the front as long as their conditions hold, and returns
// the first for whom it does not. With nil the queue is empty and the service has
// ended: the next to join starts another.
func (q *Waitqueue) advance() *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.advanceLocked()
	q.serving = first != nil
	return first
}

func (q *Waitqueue) advanceLocked() *waiter {
	for {
		first := q.first()
		if first == nil || !first.try() {
			return first
		}
		q.remove(first)
		close(first.served)
	}
}

// commit looks once more, now that the server is announced on first's word, and
// reports whether it should sleep there. From then on first cannot leave without a kick.
func (q *Waitqueue) commit(first *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.advanceLocked() != first {
		return false
	}
	q.asleep = first
	return true
}

// awake says that the server does not sleep any more, and serves those who can be.
// It reports whether a wake-up would be unused: the waiter for whom it came has left,
// and the one who was tried in its place, if any, waits for something else. Under one
// lock, so that nobody leaves between the wake-up and the attempt.
func (q *Waitqueue) awake(first *waiter) (unused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	gone := q.asleep == nil
	q.asleep = nil
	next := q.first()
	q.advanceLocked()
	return gone && (next == nil || next.on != first.on)
}

func (q *Waitqueue) first() *waiter {
	if e := q.queue.Front(); e != nil {
		return e.Value.(*waiter)
	}
	return nil
}
