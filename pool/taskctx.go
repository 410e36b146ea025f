package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// An order names the task whose context has ended, and why: 20 bits of slot, 40 of
// generation, and a reason.
type order uint64

const (
	reasonCanceled = 1
	reasonDeadline = 2
	reasonYield    = 3 // not an end: the worker is asked to hand over what it has of a chunk
)

func makeOrder(slot uint32, gen uint64, reason uint64) order {
	return order(slot)<<44 | order(gen)<<4 | order(reason)
}

func (o order) slot() uint32                   { return uint32(o >> 44) }
func (o order) gen() uint64                    { return uint64(o) >> 4 & maxGeneration }
func (o order) reason() uint32                 { return uint32(o & 15) }
func (o order) withReason(reason uint32) order { return o&^15 | order(reason) }
func (o order) ends() bool                     { return o.reason() != 0 && o.reason() != reasonYield }

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

// reasonFor returns the reason for a context's error.
func reasonFor(err error) uint64 {
	if err == context.DeadlineExceeded {
		return reasonDeadline
	}
	return reasonCanceled
}

// order tells the worker that runs the task in slot i that its context has ended, or what else
// the reason says. The caller holds mu. It is a message to one task: the next task's overwrites it.
func (p *Pool) order(i uint32, w word, reason uint64) {
	if w.state() != running {
		return
	}
	for _, m := range p.members {
		if m.incarnation == w.worker() {
			p.mem.workers[m.index].order(makeOrder(i, w.gen(), reason))
			return
		}
	}
}

// order is Pool.order, to the worker itself. A context that has ended stays so: a wish for what there is of a chunk does not take that
// back, nor does another end change why.
func (area *workerArea) order(o order) {
	if said := order(area.cancel.Load()); said.withReason(0) == o.withReason(0) && said.ends() {
		return
	}
	area.cancel.Store(uint64(o)) // pairs with the load in contexts.reason
	area.cancelSeq.Add(1)        // pairs with the load in contexts.watch
	sys.FutexWake(&area.cancelSeq, 1)
}

// A taskContext is the context of one task in a worker. All that it holds is the task's number,
// in the form of an address: the number's byte in the pool's memory, which is
// never looked at. So a context costs no allocation and is no other task's: whoever keeps it sees
// it ended for good, until as many tasks have run in the worker as that memory has
// bytes.
type taskContext struct{ number *byte }

var _ context.Context = taskContext{}

// contexts are what a worker knows of its tasks' contexts: only the one of the task that
// runs has not ended.
type contexts struct {
	worker  *worker // nil in tests
	numbers []byte
	last    int           // number that was given out last
	said    *workerArea   // where the parent says that a context has ended
	running atomic.Uint64 // number of the task that runs, plus 1; 0 between tasks
	task    atomic.Uint64 // its slot and generation, as an order without a reason

	awaited atomic.Bool   // done is open
	mu      sync.Mutex    // guards what follows
	done    chan struct{} // nil unless somebody waits for the end of the task that runs, or ran until just now
	doneOf  int           // the number of done's task
}

// processContexts are those of the worker that this process is.
var processContexts *contexts

func newContexts(mem []byte, said *workerArea) *contexts {
	return &contexts{numbers: mem, said: said}
}

// begin returns the context of the task in slot i, which this worker has claimed.
func (c *contexts) begin(i uint32, gen uint64) taskContext {
	sys.ReleaseStore64(&c.task, uint64(makeOrder(i, gen, 0))) // before running; pairs with the loads in reason
	return c.next()
}

// next ends the running item's context and returns that of the next item of the same task.
func (c *contexts) next() taskContext {
	if c.last++; c.last == len(c.numbers) {
		c.last = 0
	}
	sys.ReleaseStore64(&c.running, uint64(c.last)+1)
	return taskContext{&c.numbers[c.last]}
}

// end ends the running task's context. A full fence and settle must follow.
func (c *contexts) end() { sys.ReleaseStore64(&c.running, 0) }

// settle closes the channel of a context that has ended. It comes after end and a full
// fence; pairs with the store to awaited in channel, which comes before a look at running.
func (c *contexts) settle() {
	if c.awaited.Load() {
		c.mu.Lock()
		c.closeEnded()
		c.mu.Unlock()
	}
}

// reason says why the context with that number has ended, 0 if it has not.
func (c *contexts) reason(number int) uint32 {
	if c.running.Load() != uint64(number)+1 {
		return reasonCanceled
	}
	task, said := order(c.task.Load()), order(c.said.cancel.Load()) // pairs with the store in Pool.order
	if c.running.Load() != uint64(number)+1 {                       // task may have been another's
		return reasonCanceled
	}
	if said.withReason(0) == task && said.ends() {
		return said.reason()
	}
	return 0
}

// closed is what waits for nothing.
var closed = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// channel returns what is closed when the context with that number ends.
func (c *contexts) channel(number int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeEnded()
	if c.done == nil {
		c.done, c.doneOf = make(chan struct{}), number
		c.awaited.Store(true) // a full fence before the look at running; pairs with settle
	} else if c.doneOf != number {
		return closed // another task runs
	}
	done := c.done
	c.closeEnded()
	return done
}

// closeEnded closes done if its context has ended. The caller holds mu.
func (c *contexts) closeEnded() {
	if c.done != nil && c.reason(c.doneOf) != 0 {
		close(c.done)
		c.done = nil
		c.awaited.Store(false)
	}
}

// watch waits for orders, and for what somebody wants to know, for as long as the process lives.
func (c *contexts) watch() {
	for {
		seq := c.said.cancelSeq.Load() // pairs with the Add in Pool.order
		c.settle()
		c.worker.inquired()
		sys.FutexWait(&c.said.cancelSeq, seq, -1)
	}
}

func (c taskContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value says by taskKey which task this is, also to contexts that are derived from it.
func (c taskContext) Value(key any) any {
	if key == (taskKey{}) {
		return c
	}
	return nil
}

func (c taskContext) index() int { return layout.Offset(processContexts.numbers, c.number) }

// Err looks at the shared word itself, so that a computation can ask often and cheaply.
func (c taskContext) Err() error { return contextError(processContexts.reason(c.index())) }

func (c taskContext) Done() <-chan struct{} { return processContexts.channel(c.index()) }
