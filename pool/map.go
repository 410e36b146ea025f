package pool

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
)

// A Result is one item of MapUnordered.
type Result[In, Out any] struct {
	Index int // of the input, from 0
	In    In
	Out   Out
	Err   error // the item's own: others are not affected
}

// Map runs the function for each value of xs and yields the results in the order of
// xs, an error in place of a result where an item failed. It keeps a bounded number
// of tasks in flight, so xs may be infinite.
//
// xs runs in a goroutine of its own; a panic in it is raised again in the consumer,
// after the results of the values before it. When the consumer breaks, or ctx ends, tasks
// in flight are cancelled and xs is stopped at its next value; when ctx ends, its
// error is yielded once as the last result.
func (f *Function[In, Out]) Map(ctx context.Context, p *Pool, xs iter.Seq[In]) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		m := f.newMapping(ctx, p)
		defer m.cancel()
		started := make(chan *mapItem[In, Out], p.window())
		go m.feed(xs, func(it *mapItem[In, Out]) { started <- it }, func() { close(started) })
		for it := range started {
			out, err := it.wait(m.ctx)
			m.release()
			if ctx.Err() != nil {
				var zero Out
				yield(zero, ctx.Err())
				return
			}
			if !yield(out, err) {
				return
			}
		}
		m.end(ctx, func(err error) { var zero Out; yield(zero, err) })
	}
}

// MapUnordered is Map, with the results as they come.
func (f *Function[In, Out]) MapUnordered(ctx context.Context, p *Pool, xs iter.Seq[In]) iter.Seq[Result[In, Out]] {
	return func(yield func(Result[In, Out]) bool) {
		m := f.newMapping(ctx, p)
		defer m.cancel()
		ended := make(chan *mapItem[In, Out], p.window())
		var items int // written by feed before fed is closed
		fed := make(chan struct{})
		go m.feed(xs, func(it *mapItem[In, Out]) {
			items++
			it.whenEnded(func() { ended <- it })
		}, func() { close(fed) })
		for got := 0; ; got++ {
			it := nextEnded(ended, fed, &items, got)
			if it == nil {
				break
			}
			out, err := it.wait(m.ctx)
			m.release()
			if ctx.Err() != nil {
				break
			}
			if !yield(Result[In, Out]{Index: it.index, In: it.in, Out: out, Err: err}) {
				return
			}
		}
		m.end(ctx, func(err error) { yield(Result[In, Out]{Index: -1, Err: err}) })
	}
}

// nextEnded returns the next item that has ended, or nil if all have been seen.
func nextEnded[T any](ended chan *T, fed chan struct{}, items *int, got int) *T {
	select {
	case it := <-ended:
		return it
	case <-fed:
	}
	if got == *items {
		return nil
	}
	return <-ended
}

// window is how many items of one Map are in flight at most: enough to keep the workers
// busy, and not the whole queue.
func (p *Pool) window() int { return max(min(p.opts.Queue/2, 64+16*p.opts.Workers), 1) }

// A mapping is one Map that runs.
type mapping[In, Out any] struct {
	f       *Function[In, Out]
	p       *Pool
	ctx     context.Context // of the items; ends when the consumer breaks
	cancel  context.CancelFunc
	credits chan struct{} // one for each item that may be in flight
	panic   *iteratorPanic
}

// A mapItem is one value on its way.
type mapItem[In, Out any] struct {
	index int
	in    In
	fut   *Future[Out]
	err   error // why there is no future
}

// iteratorPanic is what the sequence given to a Map panicked with.
type iteratorPanic struct {
	value any
	stack []byte
}

func (f *Function[In, Out]) newMapping(ctx context.Context, p *Pool) *mapping[In, Out] {
	m := &mapping[In, Out]{f: f, p: p, credits: make(chan struct{}, p.window())}
	m.ctx, m.cancel = context.WithCancel(ctx)
	return m
}

// feed starts a task for each value. The channel that done closes hands over what
// feed has written.
func (m *mapping[In, Out]) feed(xs iter.Seq[In], started func(*mapItem[In, Out]), done func()) {
	defer done()
	returned := false
	defer func() {
		if v := recover(); v != nil {
			m.panic = &iteratorPanic{value: v, stack: debug.Stack()}
		} else if !returned {
			m.panic = &iteratorPanic{value: "runtime.Goexit was called"}
		}
	}()
	index := 0
	for x := range xs {
		select {
		case m.credits <- struct{}{}:
		case <-m.ctx.Done():
			returned = true
			return
		}
		it := &mapItem[In, Out]{index: index, in: x}
		it.fut, it.err = m.f.Go(m.ctx, m.p, x)
		started(it) // has room: there are as many places as credits
		index++
	}
	returned = true
}

func (m *mapping[In, Out]) release() { <-m.credits }

// end raises the sequence's panic, or reports that ctx has ended.
func (m *mapping[In, Out]) end(ctx context.Context, report func(error)) {
	switch {
	case ctx.Err() != nil:
		report(ctx.Err())
	case m.panic != nil:
		panic(fmt.Sprintf("pool: the sequence given to %s.Map panicked: %v\n\n%s", m.f.def.name, m.panic.value, m.panic.stack))
	}
}

func (it *mapItem[In, Out]) wait(ctx context.Context) (Out, error) {
	if it.err != nil {
		var zero Out
		return zero, it.err
	}
	return it.fut.Wait(ctx)
}

func (it *mapItem[In, Out]) whenEnded(hook func()) {
	if it.err != nil {
		hook()
		return
	}
	it.fut.whenFinished(hook)
}
