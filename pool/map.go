package pool

import (
	"context"
	"fmt"
	"iter"
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
// of items in flight, so xs may be infinite. Pointer-free values travel by the chunk, as
// many as take the workers a fraction of a millisecond.
//
// xs runs in a goroutine of its own; a panic in it is raised again in the consumer,
// after the results of the values before it. When the consumer breaks, or ctx ends, tasks
// in flight are cancelled and xs is stopped at its next value; when ctx ends, its
// error is yielded once as the last result.
//
// A [Block] in a value of xs is the Map's from the moment at which xs yields it: if no task has it in the end, it is freed.
func (f *Function[In, Out]) Map(ctx context.Context, p *Pool, xs iter.Seq[In]) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		var zero Out
		done := ctx.Done()
		over := f.run(ctx, p, xs, true, func(c *chunk[In, Out], outs []Out, err error) verdict {
			for k := range c.in {
				if done != nil && isDone(ctx) {
					return hasEnded
				}
				out, fault := zero, err // of the first that has no result
				if k < len(outs) {
					out, fault = outs[k], nil
				}
				more := yield(out, fault)
				if fault != nil {
					f.reclaim(c.in[k])
				}
				if !more {
					return hasLeft
				}
			}
			return goOn
		})
		if over {
			yield(zero, ctx.Err())
		}
	}
}

// MapUnordered is Map, with the results as they come. A [Block] in a value whose item failed without having run is the
// consumer's again.
func (f *Function[In, Out]) MapUnordered(ctx context.Context, p *Pool, xs iter.Seq[In]) iter.Seq[Result[In, Out]] {
	return func(yield func(Result[In, Out]) bool) {
		var zero Out
		done := ctx.Done()
		over := f.run(ctx, p, xs, false, func(c *chunk[In, Out], outs []Out, err error) verdict {
			for k, in := range c.in {
				if done != nil && isDone(ctx) {
					return hasEnded
				}
				out, fault := zero, err // of the first that has no result
				if k < len(outs) {
					out, fault = outs[k], nil
				}
				if !yield(Result[In, Out]{Index: c.first + k, In: in, Out: out, Err: fault}) {
					return hasLeft
				}
			}
			return goOn
		})
		if over {
			yield(Result[In, Out]{Index: -1, Err: ctx.Err()})
		}
	}
}

// A verdict says how the consumer leaves a chunk.
type verdict int

const (
	goOn     verdict = iota
	hasLeft          // it wants no more
	hasEnded         // its context has ended
)

// run is both; consume yields the results of one chunk. It reports whether ctx has ended before all was
// yielded; it raises the sequence's panic.
func (f *Function[In, Out]) run(ctx context.Context, p *Pool, xs iter.Seq[In], ordered bool,
	consume func(c *chunk[In, Out], outs []Out, err error) verdict) (over bool) {
	m := f.newMapping(ctx, p, ordered)
	defer m.stop()
	go m.feed(xs)
	for c := m.next(); c != nil; c = m.next() {
		outs, err := m.results(c)
		switch consume(c, outs, err) {
		case hasLeft:
			return false
		case hasEnded:
			f.unseen(c, outs)
			return true
		}
		m.recycle(c.in)
	}
	if isDone(ctx) {
		return true
	}
	if m.panic != nil {
		panic(fmt.Sprintf("pool: the sequence given to %s.Map panicked: %v\n\n%s", f.def.name, m.panic.value, m.panic.stack))
	}
	return false
}

// isDone is ctx.Err() != nil, at the price of a look at a channel.
func isDone(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// window is how many items of one Map are in flight at most while they travel one by one: enough
// to keep the workers busy, and not the whole queue.
func (p *Pool) window() int { return max(min(p.opts.Queue/2, 64+16*p.workers()), 1) }
