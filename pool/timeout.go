package pool

import (
	"context"
	"fmt"
	"time"
)

// Timeouts are kept by the parent: a worker that hangs cannot be asked. A worker says which task it is at, and in a chunk how far
// it has come; the parent looks now and then, while there are tasks with a timeout, and counts from when it has first seen that
// task, or item, there. So no clock is read where tasks run.

// A CallOption changes how a function is called: see [Function.With].
type CallOption func(*callConfig)

type callConfig struct {
	timeout time.Duration
	retries int // plus 1; 0: the pool's
}

// Timeout bounds how long a task may run, in place of Options.TaskTimeout: it then ends as if its context had, with
// [context.DeadlineExceeded]. Time in the queue does not count. In a Map each item has that long. A task may have up to a
// quarter more, and two milliseconds at least. 0 means Options.TaskTimeout.
func Timeout(d time.Duration) CallOption {
	if d < 0 {
		panic(fmt.Sprintf("pool: Timeout(%v): it must not be negative", d))
	}
	return func(c *callConfig) { c.timeout = d }
}

// With returns the function with other settings for its calls. It costs an allocation or two: make it once, and use it often.
func (f *Function[In, Out]) With(opts ...CallOption) *Function[In, Out] {
	c := callConfig{timeout: f.timeout, retries: f.retries}
	for _, o := range opts {
		o(&c)
	}
	g := &Function[In, Out]{def: f.def, fn: f.fn, in: f.in, out: f.out, small: f.small, plain: f.plain, timeout: c.timeout, retries: c.retries}
	g.calls.New = f.calls.New
	return g
}

// limit is how long a task may run for which d was asked.
func (p *Pool) limit(d time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return p.opts.TaskTimeout
}

// Bounds of the time between two looks.
const (
	shortestTick = time.Millisecond
	longestTick  = 250 * time.Millisecond
)

// A sighting is what the parent has seen a worker do.
type sighting struct {
	task  order
	item  uint64
	since time.Time
}

// keepTime looks after the task in slot i. The caller holds mu.
func (p *Pool) keepTime(i uint32) {
	e := &p.entries[i]
	if e.limit == 0 {
		return
	}
	p.timed++
	switch tick := min(max(e.limit/8, shortestTick), longestTick); {
	case !p.ticking:
		p.ticking, p.tick = true, tick
		p.clock = time.AfterFunc(tick, p.lookAtClock)
	case tick < p.tick: // or it would wait for a look that suits longer ones
		p.tick = tick
		p.clock.Reset(tick)
	}
}

// timeKept is keepTime's reverse, for a task that has ended. The caller holds mu.
func (p *Pool) timeKept(e *entry) {
	if e.limit > 0 {
		p.timed--
		e.limit = 0
	}
}

// lookAtClock ends what has run for too long.
func (p *Pool) lookAtClock() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == 0 || p.phase >= stopping || p.broken != nil {
		p.ticking = false
		return
	}
	now := time.Now()
	for _, m := range p.members {
		p.sight(m, now)
	}
	p.clock.Reset(p.tick)
}

// sight looks what a worker is at.
func (p *Pool) sight(m *member, now time.Time) {
	task := p.claimed(m)
	w, ok := p.runs(m, task)
	i := task.slot()
	if !ok || p.entries[i].limit == 0 {
		return
	}
	e := &p.entries[i]
	item := uint64(0)
	if e.task != nil && e.task.part() != nil {
		item = p.mem.progress(i).next.Load()
	}
	if m.seen.task != task || m.seen.item != item {
		m.seen = sighting{task, item, now}
		return
	}
	if now.Sub(m.seen.since) >= e.limit && !e.expired {
		p.expire(i, w)
	}
}

// late is the error of an item that has failed after its time had passed, whatever it says itself.
func (e *entry) late(failed bool) error {
	if failed && e.expired {
		return context.DeadlineExceeded
	}
	return nil
}

// expire ends the task in slot i, or the chunk at the item where it is, because it has run for too long.
func (p *Pool) expire(i uint32, w word) {
	e := &p.entries[i]
	e.expired = true
	p.order(i, w, reasonDeadline)
	p.pursue(i, w.gen())
	if pr := e.task; pr != nil && pr.part() == nil {
		p.timedOut()
		e.task = nil
		pr.fail(context.DeadlineExceeded)
	}
}
