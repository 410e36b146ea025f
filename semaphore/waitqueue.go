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
// shared memory, in the order in which they came, at the cost of one sleep in the kernel while
// anybody waits. It lies in the Go heap, in the handle of an object, and is for those who build
// objects of their own on an [Eventcount]. All methods may be called concurrently.
//
// One waiter at a time, the server, acts for all of them: it tries the condition
// of the first waiter until that fails, announces itself on the first waiter's
// eventcount, tries once more, and sleeps. It is the first waiter itself, which so needs nobody
// else; those behind it sleep on channels. Once it is served, or its context has ended, it
// hands the service on to who is first then. So there is a server
// exactly while anybody waits, or one who waited has not gone yet.
//
// A wake-up by Notify(1) is spent on one process. Who was woken tries for its first
// waiter, which uses the wake-up or shows that there is nothing for it; but if that
// waiter left meanwhile and the next one waits for something else, or nobody waits, then
// the wake-up is passed on. This needs all waiters on an eventcount that is
// notified one at a time to wait for the same condition.
//
// How the server sleeps, so that many queues of a process need few threads, says sleepers.
type Waitqueue struct {
	step time.Duration // longest sleep; constant after init
	bits uint32        // this queue's name in FUTEX_WAIT_BITSET; constant after init

	waiters atomic.Int64 // len(queue), for a look without the lock

	service sync.WaitGroup // 1 while there is a server

	mu     sync.Mutex
	queue  list.List // of *waiter, in order of arrival
	server *waiter   // the first in the queue, or one who has just left it; nil: nobody waits
	asleep bool      // the server sleeps, or is about to, and its waiter has not left
}

// A waiter is one goroutine in Wait.
type waiter struct {
	on     Eventcount    // notified after changes that may make try succeed
	try    func() bool   // called by the server, with the queue's lock
	turn   chan struct{} // closed once it is served, or the server; nil for who was the server at once
	served bool          // try has succeeded; guarded by the queue's lock until the turn has come
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
// try takes what it waits for, or returns false and has changed nothing. It may be called
// by another goroutine and must be short; after every change that may let it
// succeed, on must be notified. It is called again, whatever happens, every [Step] or so
// for the one who waits longest.
func (q *Waitqueue) Wait(ctx context.Context, on Eventcount, try func() bool) (served bool, err error) {
	w := &waiter{on: on, try: try}
	return q.stay(ctx, w, q.join(w))
}

// stay is Wait for one who has joined the queue, and serves if join says so.
func (q *Waitqueue) stay(ctx context.Context, w *waiter, serves bool) (served bool, err error) {
	if !serves {
		select {
		case <-w.turn:
		case <-ctx.Done():
			if q.leave(w) {
				return false, ctx.Err()
			}
		}
	}
	if !w.served {
		q.serve(ctx, w)
	}
	return w.served, ctx.Err()
}

// join puts w into the queue. It reports whether w is the server: there was none.
func (q *Waitqueue) join(w *waiter) (serves bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.place = q.queue.PushBack(w)
	q.waiters.Add(1)
	if q.server != nil {
		w.turn = make(chan struct{})
		return false
	}
	q.server = w
	q.service.Add(1)
	return true
}

// Drain waits until nobody waits and the last server has ended: it looks at the shared
// words for a moment longer than those it serves.
func (q *Waitqueue) Drain() { q.service.Wait() }

// leave takes w out of the queue. It reports false if w has come to its turn: then it
// has been served, or has the service and must hand it on. If it sleeps it is woken for that, under
// the lock, without which it does not go: so the word stays mapped.
func (q *Waitqueue) leave(w *waiter) (gone bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.place == nil {
		return false
	}
	q.remove(w)
	if q.server != w {
		return true
	}
	if q.asleep {
		q.asleep = false
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

// serve is what the server does, until its own waiter w is served or has left. A sleep that
// ends by itself is no sign of activity, so the next one follows without a spin.
func (q *Waitqueue) serve(ctx context.Context, w *waiter) {
	over := false
	defer func() {
		if !over {
			q.abandon(w)
		}
	}()
	var forget func() bool // that w leaves when ctx ends; nil: it does not yet
	spin, calm := newSpin(), false
	for q.advance(w) {
		if spin.Once() {
			continue
		}
		if forget == nil {
			forget = context.AfterFunc(ctx, func() { q.leave(w) })
			defer forget()
		}
		runtime.Gosched() // who could give us what we wait for may be runnable right here
		ticket := w.on.Announce()
		if !q.commit(w) {
			continue
		}
		// Killed from here on: the bit in the word stays, and a wake-up that was
		// spent on us is lost. Eventcount says what becomes of both.
		timedOut := sleeping.sleep(w.on, ticket, q.patience(w.on, calm), q.bits)
		calm = timedOut
		unused := q.awake(w)
		if timedOut { // and so not woken by anybody
			continue
		}
		spin = newSpin()
		if unused {
			w.on.Notify(1)
		}
	}
	over = true
}

// abandon is for a server in which a condition has panicked: the others have one that goes on.
func (q *Waitqueue) abandon(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.server == w { // else the panic came behind the hand-over
		if w.place != nil {
			q.remove(w)
		}
		q.asleep = false
		q.pass(q.first())
	}
}

// pass makes first the server, or ends the service if it is nil; the caller holds the lock.
func (q *Waitqueue) pass(first *waiter) {
	if q.server = first; first == nil {
		q.service.Done()
		return
	}
	close(first.turn)
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

// advance serves waiters from the front as long as their conditions hold. It reports
// whether the server's own waiter w still waits. If not, the service has gone to who is first now; or it
// has ended, and the next to join begins another.
func (q *Waitqueue) advance(w *waiter) (waits bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.advanceLocked()
	if first == w {
		return true
	}
	q.pass(first)
	return false
}

// advanceLocked returns the first waiter whose condition does not hold, nil if there is none.
func (q *Waitqueue) advanceLocked() *waiter {
	for {
		first := q.first()
		if first == nil || !first.try() {
			return first
		}
		q.remove(first)
		first.served = true
		if first != q.server {
			close(first.turn)
		}
	}
}

// commit looks once more, now that the server is announced on its waiter's word, and
// reports whether it should sleep there. From then on w cannot leave without a kick.
func (q *Waitqueue) commit(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asleep = q.advanceLocked() == w
	return q.asleep
}

// awake says that the server does not sleep any more, and serves those who can be.
// It reports whether a wake-up would be unused: the waiter for whom it came has left,
// and the one who was tried in its place, if any, waits for something else. Under one
// lock, so that nobody leaves between the wake-up and the attempt.
func (q *Waitqueue) awake(w *waiter) (unused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	gone := !q.asleep
	q.asleep = false
	next := q.first()
	q.advanceLocked()
	return gone && (next == nil || next.on != w.on)
}

func (q *Waitqueue) first() *waiter {
	if e := q.queue.Front(); e != nil {
		return e.Value.(*waiter)
	}
	return nil
}
