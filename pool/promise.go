package pool

import (
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/sys"
)

// A promise is the parent's side of one accepted task: who waits for its result. It is
// finished exactly once, under the pool's lock. It is small, because every task has one.
type promise struct {
	*origin
	state atomic.Uint64 // the task's id, 0 before it is published, and whether it is finished
	more  *more         // what few promises need; made under the lock, and only while unfinished
}

// An origin is where a task comes from: one function's calls in one pool.
type origin struct {
	pool *Pool
	def  *definition
	slab any // *slab of its results; guarded by pool.mu
}

// A taskID names a task for good: the slot that holds it and the slot's generation. 0
// is no task.
type taskID uint64

const (
	published = 1 << 63 // in a taskID
	finished  = 1 << 62 // in a promise's state: what the future holds may be read
)

func makeTaskID(slot uint32, gen uint64) taskID {
	return published | taskID(slot)<<genBits | taskID(gen)
}

func (id taskID) slot() uint32 { return uint32(id &^ published >> genBits) }
func (id taskID) gen() uint64  { return uint64(id) & maxGeneration }

// id returns the task's id, 0 if it was not published.
func (pr *promise) id() taskID { return taskID(pr.state.Load() &^ finished) }

// more is the part of a promise that a task with a plain result, which is there before
// anybody has to sleep for it, does without.
type more struct {
	err  error
	raw  []byte    // the result, private and not yet decoded
	refs *delivery // what it refers to, nil if nothing
	once sync.Once // decodes raw

	watched bool          // somebody sleeps until this is finished
	ch      chan struct{} // closed when finished; nil until somebody asks
	wake    chan struct{} // for the only waiter of a Call, used again
	armed   bool          // wake is to be sent to
	hooks   []func()      // called when finished; they must not block
	unhook  func() bool   // ends the watch on the task's context

	part *part // set if the task is a chunk
}

// finished reports whether the result may be read. Pairs with the store in setFinished.
func (pr *promise) finished() bool { return pr.state.Load()&finished != 0 }

// extend returns the promise's second part. The caller holds pool.mu, and the promise
// is not finished.
func (pr *promise) extend() *more {
	if pr.more == nil {
		pr.more = &more{}
	}
	return pr.more
}

// finish ends the promise. The caller holds pool.mu and has set err or the result.
func (pr *promise) finish() {
	if pr.more != nil {
		pr.finishMore()
		return
	}
	pr.setFinished()
}

// setFinished hands the promise over to its owner. Pairs with the load in finished.
func (pr *promise) setFinished() { sys.ReleaseStore64(&pr.state, pr.state.Load()|finished) }

func (pr *promise) finishMore() {
	m := pr.more
	if m.watched {
		pr.pool.watched--
	}
	if m.unhook != nil {
		m.unhook()
	}
	armed, ch, hooks := m.armed, m.ch, m.hooks
	m.armed, m.hooks = false, nil
	if armed || ch != nil || hooks != nil {
		pr.pool.woken = true
	}
	wake := m.wake
	pr.setFinished() // a Call may use the promise again, unless it is parked
	if armed {
		wake <- struct{}{} // has room: armed at most once
	}
	if ch != nil {
		close(ch)
	}
	for _, hook := range hooks {
		hook()
	}
}

// fail finishes the promise with err, unless it is finished. The caller holds pool.mu.
func (pr *promise) fail(err error) {
	if !pr.finished() {
		pr.extend().err = err
		pr.finish()
	}
}

// err is why a finished promise has no result.
func (pr *promise) err() error {
	if pr.more == nil {
		return nil
	}
	return pr.more.err
}

// channel returns the channel that is closed when the promise is finished. The caller
// holds pool.mu.
func (pr *promise) channel() chan struct{} {
	if pr.finished() {
		return closed
	}
	m := pr.extend()
	if m.ch == nil {
		m.ch = make(chan struct{})
	}
	return m.ch
}

// watch makes sure that the pool looks for this promise's result even when nobody
// spins for it. The caller holds pool.mu.
func (pr *promise) watch() {
	if pr.finished() || pr.extend().watched {
		return
	}
	pr.more.watched = true
	pr.pool.watch()
}

// seek is watch for those who do not hold pool.mu.
func (pr *promise) seek() {
	pr.pool.mu.Lock()
	defer pr.pool.mu.Unlock()
	pr.watch()
}

// whenFinished calls hook, which must not block, once the promise is finished. Somebody must look
// for results: see watch.
func (pr *promise) whenFinished(hook func()) {
	pr.pool.mu.Lock()
	defer pr.pool.mu.Unlock()
	if pr.finished() {
		hook()
		return
	}
	pr.extend().hooks = append(pr.more.hooks, hook)
}
