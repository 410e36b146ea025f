package pool

import (
	"context"
	"fmt"
	"iter"
	"reflect"

	"github.com/shmkit/shmkit/internal/codec"
)

// A Future is the result of a task that was started with Go. It is safe for concurrent
// use; it may be dropped without being waited for: it holds nothing of the pool's once
// the task has ended.
type Future[Out any] struct {
	promise
	out Out
}

// Wait returns the task's result, or the error with which it ended. If ctx ends first,
// Wait returns its error; the task goes on: only the context given to Go ends it.
func (f *Future[Out]) Wait(ctx context.Context) (Out, error) {
	if !f.finished() {
		if err := f.pool.await(ctx, &f.promise); err != nil {
			var zero Out
			return zero, err
		}
	}
	if f.more == nil {
		return f.out, nil
	}
	return f.result()
}

// Done returns a channel that is closed when the task has ended. Wait does not
// block then.
func (f *Future[Out]) Done() <-chan struct{} {
	f.pool.mu.Lock()
	defer f.pool.mu.Unlock()
	f.watch()
	return f.channel()
}

// result decodes what the worker sent, once. The future is finished.
func (f *Future[Out]) result() (Out, error) {
	if f.def.result == nil {
		f.more.once.Do(f.decode)
	}
	if err := f.err(); err != nil {
		var zero Out
		return zero, err
	}
	return f.out, nil
}

// decode is left to whoever waits, so that one slow decoder does not hold up the rest.
func (f *Future[Out]) decode() {
	m := f.more
	if m.err == nil {
		if err := f.def.out.(*codec.Plan[Out]).Decode(m.raw, &f.out, true, m.refs); err != nil { // raw is nobody else's
			m.err = fmt.Errorf("%s: decode result: %w", f.def.name, err)
		}
	}
	if m.refs != nil {
		m.refs.taken(m.err)
	}
	m.raw, m.refs = nil, nil
}

// recycle makes a finished future of a Call as good as new.
func (f *Future[Out]) recycle() {
	f.state.Store(0)
	if m := f.more; f.def.result == nil || m.ch != nil || m.watched || m.err != nil || m.unhook != nil {
		*m = more{wake: m.wake}
	}
	var zero Out
	f.out = zero
}

// A slab is where the next futures of one origin come from, by the dozen: an allocation
// costs about as much as handing a task over. Guarded by pool.mu.
type slab[Out any] struct{ futures []Future[Out] }

const (
	slabBytes   = 1024
	slabFutures = 32 // at most: whoever keeps one keeps them all
)

// newFuture returns a new future. The caller holds mu.
func newFuture[Out any](o *origin) *Future[Out] {
	if o.def.lends { // blocks go with the last who could ask for them: that must not be who keeps another's future
		return &Future[Out]{promise: promise{origin: o}}
	}
	s, ok := o.slab.(*slab[Out])
	if !ok {
		s = &slab[Out]{}
		o.slab = s
	}
	if len(s.futures) == 0 {
		size := int(reflect.TypeFor[Future[Out]]().Size())
		s.futures = make([]Future[Out], min(max(slabBytes/size, 1), slabFutures))
	}
	fut := &s.futures[0]
	s.futures = s.futures[1:]
	fut.origin = o
	return fut
}

// AsCompleted yields the futures in the order in which their tasks end. It stops when
// ctx ends or the consumer breaks; the tasks go on.
func AsCompleted[Out any](ctx context.Context, fs ...*Future[Out]) iter.Seq[*Future[Out]] {
	return func(yield func(*Future[Out]) bool) {
		ended := make(chan *Future[Out], len(fs))
		for _, f := range fs {
			f.seek()
			f.whenFinished(func() { ended <- f })
		}
		for range fs {
			select {
			case f := <-ended:
				if !yield(f) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
