package pool

import (
	"sync/atomic"
)

// A promise is the parent's side of one accepted task: where its result goes and who
// waits for it. It is finished exactly once, under the pool's lock.
type promise struct {
	pool *Pool
	def  *definition
	slot uint32 // of the table, while the task is in it
	gen  uint64

	finished atomic.Bool // set last: what is below may be read once it is true
	err      error
	raw      []byte // the result, private and not yet decoded; nil if deliver decoded it

	// Guarded by pool.mu until finished.
	watched bool          // somebody sleeps until this is finished
	ch      chan struct{} // closed when finished; nil until somebody asks
	wake    chan struct{} // for the only waiter of a Call, used again
	armed   bool          // wake is to be sent to
	hooks   []func()      // called when finished; they must not block
	unhook  func() bool   // ends the watch on the task's context
}

// A receiver is a promise that knows the type of its result.
type receiver interface {
	// deliver takes the result, which is in memory that nobody else changes. If owned, it may
	// keep b; otherwise it must copy what it needs.
	deliver(b []byte, owned bool)
	base() *promise
}

func (pr *promise) base() *promise { return pr }

// finish ends the promise. The caller holds pool.mu and has set err or the result.
func (pr *promise) finish() {
	if pr.watched {
		pr.pool.watched--
	}
	if pr.unhook != nil {
		pr.unhook()
	}
	armed, ch, hooks := pr.armed, pr.ch, pr.hooks
	pr.armed, pr.hooks = false, nil
	pr.finished.Store(true) // from here on a Call may use the promise again, unless it is parked
	if armed {
		pr.wake <- struct{}{} // has room: armed at most once
	}
	if ch != nil {
		close(ch)
	}
	for _, hook := range hooks {
		hook()
	}
}

// fail finishes the promise with err, unless it is finished.
func (pr *promise) fail(err error) {
	if !pr.finished.Load() {
		pr.err = err
		pr.finish()
	}
}

// channel returns the channel that is closed when the promise is finished. The caller
// holds pool.mu.
func (pr *promise) channel() chan struct{} {
	if pr.ch == nil {
		pr.ch = make(chan struct{})
		if pr.finished.Load() {
			close(pr.ch)
		}
	}
	return pr.ch
}

// watch makes sure that the pool looks for this promise's result even when nobody
// spins for it. The caller holds pool.mu.
func (pr *promise) watch() {
	if !pr.watched && !pr.finished.Load() {
		pr.watched = true
		pr.pool.watch()
	}
}

// whenFinished calls hook, which must not block, once the promise is finished.
func (pr *promise) whenFinished(hook func()) {
	pr.pool.mu.Lock()
	defer pr.pool.mu.Unlock()
	if pr.finished.Load() {
		hook()
		return
	}
	pr.hooks = append(pr.hooks, hook)
	pr.watch()
}
