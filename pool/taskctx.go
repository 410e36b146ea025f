package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
)

// An order names the task whose context has ended, and why: 20 bits of slot, 40 of
// generation, and a reason.
type order uint64

const (
	reasonCanceled = 1
	reasonDeadline = 2
)

func makeOrder(slot uint32, gen uint64, reason uint64) order {
	return order(slot)<<44 | order(gen)<<4 | order(reason)
}

func (o order) names(slot uint32, gen uint64) bool { return o>>4 == makeOrder(slot, gen, 0)>>4 }

func (o order) reason() uint32 { return uint32(o & 15) }

// contextError returns the error for a reason, nil for none.
func contextError(reason uint32) error {
	switch reason {
	case 0:
		return nil
	case reasonDeadline:
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// order tells the worker that runs the task in slot i that its context has ended. The
// caller holds mu. It is a message to one task: the next overwrites it.
func (p *Pool) order(i uint32, w word, err error) {
	if w.state() != running {
		return
	}
	reason := uint64(reasonCanceled)
	if err == context.DeadlineExceeded {
		reason = reasonDeadline
	}
	for _, m := range p.members {
		if m.incarnation == w.worker() {
			area := &p.mem.workers[m.index]
			area.cancel.Store(uint64(makeOrder(i, w.gen(), reason))) // pairs with the load in taskContext.check
			area.cancelSeq.Add(1)                                    // pairs with the load in worker.watch
			sys.FutexWake(&area.cancelSeq, 1)
			return
		}
	}
}

// A taskContext is the context of one task in a worker. It is never used again for
// another task: whoever keeps it sees it ended for good.
type taskContext struct {
	worker *worker
	slot   uint32
	gen    uint64

	reason   atomic.Uint32 // why it has ended, 0 while it has not; set once
	awaited  atomic.Bool   // done exists
	mu       sync.Mutex    // guards what follows
	done     chan struct{}
	isClosed bool // done is
}

var _ context.Context = (*taskContext)(nil)

// contextsAtOnce is how many contexts are allocated together.
const contextsAtOnce = 64

// context returns a context for the task in slot i.
func (w *worker) context(i uint32, gen uint64) *taskContext {
	if len(w.contexts) == 0 {
		w.contexts = make([]taskContext, contextsAtOnce)
	}
	w.ctx, w.contexts = &w.contexts[0], w.contexts[1:]
	w.ctx.worker, w.ctx.slot, w.ctx.gen = w, i, gen
	return w.ctx
}

// endContext ends the context of a task that has returned.
func (w *worker) endContext() {
	if c := w.ctx; c != nil {
		c.end(reasonCanceled)
		w.ctx = nil
	}
}

func (c *taskContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *taskContext) Value(any) any               { return nil }

// Err looks at the shared word itself, so that a computation can ask often and cheaply.
func (c *taskContext) Err() error {
	c.check()
	return contextError(c.reason.Load())
}

func (c *taskContext) Done() <-chan struct{} {
	c.mu.Lock()
	if c.done == nil {
		c.done = make(chan struct{})
		c.awaited.Store(true) // before the look at reason; pairs with the look in end
	}
	c.closeIfEnded()
	done := c.done
	c.mu.Unlock()
	c.worker.watchFor(c)
	return done
}

// check ends the context if the parent has said so.
func (c *taskContext) check() {
	if o := order(c.worker.area.cancel.Load()); o.names(c.slot, c.gen) { // pairs with the store in Pool.order
		c.end(o.reason())
	}
}

// end ends the context, once. It costs one compare-and-swap if nobody has asked for
// the channel: every task ends its context.
func (c *taskContext) end(reason uint32) {
	if c.reason.CompareAndSwap(0, reason) && c.awaited.Load() {
		c.mu.Lock()
		c.closeIfEnded()
		c.mu.Unlock()
	}
}

// closeIfEnded closes done, once. The caller holds mu.
func (c *taskContext) closeIfEnded() {
	if c.reason.Load() != 0 && !c.isClosed {
		c.isClosed = true
		close(c.done)
	}
}

var watchOnce sync.Once

// watchFor makes c's channel close when the parent says so. The thread that waits for the word
// is started by the first task that asks.
func (w *worker) watchFor(c *taskContext) {
	w.watching.Lock()
	ended := c.reason.Load() != 0
	if !ended {
		w.current.Store(c)
	}
	w.watching.Unlock()
	if ended {
		return
	}
	watchOnce.Do(func() { go w.watch() })
	c.check() // after current was stored: watch may have looked before
}

// watch waits for orders for as long as the process lives.
func (w *worker) watch() {
	for {
		seq := w.area.cancelSeq.Load() // pairs with the Add in Pool.order
		if c := w.current.Load(); c != nil {
			c.check()
		}
		sys.FutexWait(&w.area.cancelSeq, seq, -1)
	}
}
