package semaphore

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/backoff"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// maxPassed is how often a lock for which there are claims is given back to whoever comes, before it is granted to the next who has one.
const maxPassed = 64

// How long a goroutine looks for a lock itself before it joins the queue, and how it pauses between two looks: each takes the line away
// from who uses the lock just now, and who comes a little later finds it with more done.
const (
	lookFor    = 10 * time.Microsecond
	firstPause = 100 * time.Nanosecond
	lastPause  = 2 * time.Microsecond
)

// A lock is a handle on lockWords: what Mutex and the writers of an RWMutex have in common.
//
// # Invariants
//
//   - At most one process holds the lock: word names it without the bit granted, and only that process, or one that has the kernel's
//     proof of its end, changes word to another's name.
//   - Within a process, the goroutine whose compare-and-swap put the ID there holds the lock.
//   - Whoever makes the lock free or granted notifies sleepers afterwards: one if anybody can use it, all if one alone can.
//   - A process that is about to sleep has claimed, and bit claimed is set, or will be when the lock is given back next.
//
// # Deaths
//
// A process that dies with its ID in word held the lock, or may take one that was granted to it. The others watch it before they sleep:
// then they are told of its end, and the first compare-and-swap decides who has the lock now. One who dies just behind
// that is in the place of the first. A claim that a dead process leaves has a lock granted to it, once, which the next takes.
type lock struct {
	kind  string // what it is, for errors
	words *lockWords
	id    owner.ID // this process
	queue Waitqueue
	vigil vigil
	order atomic.Uint32  // for the race detector: its address, never its value
	waits sync.WaitGroup // calls that wait, or are about to

	// A grant to another process, as this one saw it last, which turn that was, and since when. With the queue's lock.
	grant uint64
	turn  uint32
	since time.Time
	keeps time.Duration // how long others respect a grant: a Step; constant

	known [claims]uint64 // the claims of those who are minded; with the queue's lock
}

func (l *lock) init(kind string, w *lockWords, id owner.ID) {
	l.kind, l.words, l.id, l.keeps = kind, w, id, Step
	l.queue.init()
	l.vigil.init(l.on().Rouse)
}

// on returns what those sleep on who wait.
func (l *lock) on() Eventcount { return EventcountOn(&l.words.sleepers) }

// acquire takes the lock. Unless err is nil or wraps ErrOwnerDied, the caller does not have it.
func (l *lock) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// Pairs with the CAS in release. Killed before it: nothing has happened. After it: the lock is a dead process's.
	if l.queue.Idle() && l.words.word.CompareAndSwap(0, uint64(l.id)) {
		sys.RaceAcquire(&l.order)
		return nil
	}
	return l.acquireSlow(ctx)
}

func (l *lock) acquireSlow(ctx context.Context) error {
	l.waits.Add(1)
	defer l.waits.Done()
	if ok, err := l.look(); ok || err != nil {
		return err
	}
	var failed error // written by the queue's server before it closes the waiter's channel
	served, err := l.queue.Wait(ctx, l.on(), func() bool {
		var ok bool
		ok, failed = l.try()
		return ok || failed != nil
	})
	if served { // whether ctx has ended or not: who died cannot be told twice
		return failed
	}
	l.forgo()
	return err
}

// look tries for a while, unless others wait already.
func (l *lock) look() (ok bool, err error) {
	budget := lookFor
	if runtime.GOMAXPROCS(0) == 1 {
		budget = 0
	}
	spin, pause := backoff.For(budget), firstPause
	for l.queue.Idle() {
		if ok, err := l.take(nobody); ok || err != nil {
			return ok, err
		}
		if !spin.Long(pause) {
			break
		}
		pause = min(2*pause, lastPause)
	}
	return false, nil
}

// try takes the lock for the first who waits. The server calls it, with the queue's lock.
func (l *lock) try() (ok bool, err error) {
	if l.words.sleepers.Load()&waiting == 0 {
		return l.take(nobody) // nobody is about to sleep, this server neither: it looks again very soon
	}
	l.claim()
	l.mind()
	ok, err = l.take(l.given)
	if ok {
		l.grant = 0
	}
	return ok, err
}

// tryAcquire is acquire without waiting.
func (l *lock) tryAcquire() (ok bool, err error) {
	if !l.queue.Idle() {
		return false, nil
	}
	return l.take(l.lapsed)
}

// lapsed is given for one who does not wait, and asks the system.
func (l *lock) lapsed(w uint64) bool {
	if holderOf(w) != l.id && !l.vigil.alive(holderOf(w)) {
		return true
	}
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	return w&granted != 0 && l.overdue(w)
}

// nobody is take's given where nobody is asked.
func nobody(uint64) bool { return false }

// take takes the lock if it is free, or granted to this process, or if given says that the process that is named in word has no claim to it any
// more. If err is nil or wraps ErrOwnerDied, ok tells whether the caller has the lock now.
func (l *lock) take(given func(w uint64) bool) (ok bool, err error) {
	for {
		w, err := l.load()
		if err != nil {
			return false, err
		}
		holder := holderOf(w)
		mine := w&granted != 0 && holder == l.id
		if holder != 0 && !mine && !given(w) {
			return false, nil
		}
		if !l.replace(w) {
			continue
		}
		if holder != 0 && w&granted == 0 {
			return true, fmt.Errorf("lock %s: process %v held it: %w", l.kind, holder, ErrOwnerDied)
		}
		return true, nil
	}
}

// load returns the word.
func (l *lock) load() (w uint64, err error) {
	w = l.words.word.Load() // pairs with the CAS in release
	if w&^claimed != 0 && holderOf(w).Pid() == 0 {
		return w, fmt.Errorf("lock %s: its word is %#x: %w", l.kind, w, ErrCorrupted)
	}
	return w, nil
}

// replace makes this process the holder in place of whom w names, if that is still the word.
func (l *lock) replace(w uint64) bool {
	if !l.words.word.CompareAndSwap(w, uint64(l.id)|w&claimed) {
		return false
	}
	// Killed from here on: the lock is a dead process's, and a claim of its stays.
	l.settle(holderOf(w))
	sys.RaceAcquire(&l.order)
	return true
}

// given reports whether another process, which w names, has ended or let its turn pass. Otherwise this one is told of its end.
func (l *lock) given(w uint64) bool {
	holder := holderOf(w)
	if w&granted == 0 {
		l.grant = 0
	}
	return holder != l.id && l.vigil.ended(holder) || w&granted != 0 && l.overdue(w)
}

// overdue reports whether a grant has lain there for a [Step]: who has it is stopped, or does not wait any more.
func (l *lock) overdue(w uint64) bool {
	if turn := l.words.turn.Load(); l.grant != w || l.turn != turn {
		l.grant, l.turn, l.since = w, turn, time.Now()
	}
	return time.Since(l.since) >= l.keeps
}

// release gives the lock back. It panics if this process does not hold it.
func (l *lock) release() {
	sys.RaceRelease(&l.order)
	// Hands over all that was written under the lock; pairs with the CASes in acquire and take. It is also the change that the
	// eventcount's protocol asks for.
	if !l.words.word.CompareAndSwap(uint64(l.id), 0) {
		l.releaseSlow()
		return
	}
	// Killed here: the lock is free, and sleepers notice within Step.
	l.on().Notify(1)
}

// releaseSlow is release where there are claims.
func (l *lock) releaseSlow() {
	heir := uint64(0)
	for {
		w := l.words.word.Load()
		if w&^claimed != uint64(l.id) {
			panic(fmt.Sprintf("semaphore: unlock of a %s that this process does not hold: its word is %#x", l.kind, w))
		}
		if w&claimed != 0 && heir == 0 {
			heir = l.next()
		}
		if l.words.word.CompareAndSwap(w, heir|w&claimed) { // pairs as in release
			break
		}
	}
	if heir == 0 {
		l.on().Notify(1)
	} else {
		l.on().NotifyAll() // the one who can use it is one of them
	}
}

// next returns the grant to the process whose turn it is, 0 while it is nobody's. The caller holds the lock.
func (l *lock) next() (grant uint64) {
	if n := l.words.passed.Load(); n < maxPassed {
		l.words.passed.Store(n + 1)
		return 0
	}
	l.words.passed.Store(0)
	turn := l.words.turn.Load()
	for range claims {
		turn++
		if v := l.words.claim[turn%claims].Load(); v&flags == 0 && holderOf(v).Pid() != 0 {
			l.words.turn.Store(turn)
			return v | granted
		}
	}
	return 0
}

// close waits until nobody waits any more, and ends the vigil.
func (l *lock) close() {
	l.waits.Wait()
	l.queue.Drain()
	l.vigil.close()
}
