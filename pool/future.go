package pool

import (
	"context"
	"iter"
	"sync"

	"github.com/shmkit/shmkit/internal/codec"
)

// A Future is the result of a task that was started with Go. It is safe for concurrent
// use; it may be dropped without being waited for: it holds nothing of the pool's once
// the task has ended.
type Future[Out any] struct {
	promise
	plan *codec.Plan[Out]
	once sync.Once // decodes raw
	out  Out
}

// Wait returns the task's result, or the error with which it ended. If ctx ends first,
// Wait returns its error; the task goes on: only the context given to Go ends it.
func (f *Future[Out]) Wait(ctx context.Context) (Out, error) {
	if err := f.pool.await(ctx, &f.promise); err != nil {
		var zero Out
		return zero, err
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

// result decodes what deliver left, once. The future is finished.
func (f *Future[Out]) result() (Out, error) {
	if !f.plan.Plain() {
		f.once.Do(f.decode)
	}
	if f.err != nil {
		var zero Out
		return zero, f.err
	}
	return f.out, nil
}

func (f *Future[Out]) decode() {
	if f.err == nil {
		f.err = f.plan.Decode(f.raw, &f.out, false)
	}
	f.raw = nil
}

// deliver implements receiver. Pointer-free results are decoded at once; for others the
// work is left to whoever waits, so that one slow decoder does not hold up the rest.
func (f *Future[Out]) deliver(b []byte, owned bool) {
	switch {
	case f.plan.Plain():
		f.err = f.plan.Decode(b, &f.out, false)
	case owned:
		f.raw = b
	default:
		f.raw = append(make([]byte, 0, len(b)), b...)
	}
	f.finish()
}

// recycle makes a finished future of a Call as good as new.
func (f *Future[Out]) recycle() {
	f.finished.Store(false)
	f.err, f.raw, f.pool = nil, nil, nil
	f.gen, f.watched, f.ch, f.unhook = 0, false, nil, nil
	f.once = sync.Once{}
	var zero Out
	f.out = zero
}

// AsCompleted yields the futures in the order in which their tasks end. It stops when
// ctx ends or the consumer breaks; the tasks go on.
func AsCompleted[Out any](ctx context.Context, fs ...*Future[Out]) iter.Seq[*Future[Out]] {
	return func(yield func(*Future[Out]) bool) {
		ended := make(chan *Future[Out], len(fs))
		for _, f := range fs {
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
