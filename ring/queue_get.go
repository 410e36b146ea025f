package ring

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// Get returns the first item. It waits while there is none, until ctx has ended. The error is ctx's, also if that had ended before, or is [io.EOF] when the
// queue was closed by CloseSend and is empty, or wraps [ErrCorrupted] or says that the item's bytes are no T: then the
// item is gone. If an item comes as ctx ends, the caller gets it and no error.
//
// Methods of T that decode it, such as UnmarshalBinary, run on the caller's goroutine, and hold up nobody else as long as the queue has room. If one panics,
// Get returns that as an error; if it ends the goroutine, that is the end of the caller's, and the item is gone.
func (q *Queue[T]) Get(ctx context.Context) (v T, err error) {
	if err := q.may(ctx); err != nil {
		return v, err
	}
	if q.getters.Idle() {
		if ok, err := q.get(&v); ok || err != nil {
			return v, err
		}
	}
	return q.getSlow(ctx)
}

func (q *Queue[T]) getSlow(ctx context.Context) (v T, err error) {
	if q.exact {
		err = q.await(ctx, &q.getters, q.ring.Items(), func() (bool, error) { return q.get(&v) }, q.ring.ready)
		return v, err
	}
	if !q.hold() {
		return v, errNotOpen
	}
	defer q.life.RUnlock()
	err = q.unpackNext(ctx, &v)
	return v, err
}

// unpackNext waits for one item, of a type that is to be decoded. Whoever serves those who wait takes the item for them: decoding may take long, or
// end the goroutine, and so each does it himself. The caller holds the memory.
func (q *Queue[T]) unpackNext(ctx context.Context, v *T) error {
	var r Run // written by the queue's server before it says that the waiter is served
	err := q.awaitHeld(ctx, &q.getters, q.ring.Items(), func() (ok bool, err error) {
		r, ok, err = q.ring.Take(1)
		return ok, getError(err)
	}, q.ring.ready)
	if err != nil {
		return err
	}
	// Killed from here on: others get the item, or it is dropped, as for one who was killed in Get anywhere.
	return getError(q.unpack(r, v))
}

// TryGet is Get without waiting: ok is false if there is no item now, or others wait on this handle for one.
func (q *Queue[T]) TryGet() (v T, ok bool, err error) {
	switch {
	case !q.open.Load():
		return v, false, errNotOpen
	case !q.getters.Idle():
		return v, false, nil
	}
	ok, err = q.get(&v)
	return v, ok, err
}

// get takes one item. With an error it has taken none, or one that is no T.
func (q *Queue[T]) get(v *T) (ok bool, err error) {
	if q.exact {
		if s, ok := q.ring.takeOne(); ok {
			layout.Read(q.ring.mem[s.at:], v) // plain: nobody else has the slot
			q.count(1)
			q.ring.releaseOne(s)
			return true, nil
		}
	}
	r, ok, err := q.ring.Take(1)
	if !ok {
		return false, getError(err)
	}
	if q.exact {
		copy(layout.Bytes(v), q.ring.Slot(r, 0)) // plain: nobody else has the slot
		return true, getError(q.release(r))
	}
	if err := q.unpack(r, v); err != nil {
		return false, getError(err)
	}
	return true, nil
}

// unpack decodes the item of r, and gives the slot and the item's block back, whatever comes of it.
func (q *Queue[T]) unpack(r Run, v *T) (err error) {
	decoded := false
	defer func() {
		if !decoded { // nobody will say that it is done
			err = errors.Join(err, q.ring.Release(r))
			q.ring.idle().NotifyAll()
		}
	}()
	block, err := q.decode(r, v)
	if err != nil {
		return err
	}
	decoded = true
	err = q.release(r)
	// Killed before this, the block is freed when the slot is: see largeItems.passed.
	if block.Word != 0 && err == nil {
		q.large.free(block)
	}
	return err
}

// decode decodes the item of r, which may be in a block.
func (q *Queue[T]) decode(r Run, v *T) (block shm.Block, err error) {
	if q.direct {
		return block, q.plan.Decode(q.ring.Slot(r, 0)[:q.size], v, false, nil)
	}
	data, block, err := q.large.find(q.ring.slot(r.pos))
	if err != nil {
		return block, err
	}
	return block, q.plan.Decode(data, v, false, nil)
}

func getError(err error) error {
	if err != nil && err != io.EOF {
		return fmt.Errorf("get: %w", err)
	}
	return err
}

// release counts the items of r as taken and gives their slots back.
func (q *queueCore) release(r Run) error {
	q.count(r.n)
	return q.ring.Release(r)
}

// count counts n items as taken, before their slots are released: who finds the queue empty sees that they are not finished. Pairs with the
// load in finished.
func (q *queueCore) count(n int) {
	sys.RaceAcquire(&q.order)
	if q.ring.joinable {
		q.unfinished.Add(int64(n))
		q.ring.table[q.ring.self].takes.Add(uint64(n))
	}
}

// GetBatch sets the first ones of dst to the first items of the queue, as many as there are, and returns how many. It waits for one as
// Get does, and not for more. It is much faster than as many calls of Get if T has no pointers.
func (q *Queue[T]) GetBatch(ctx context.Context, dst []T) (n int, err error) {
	if err := q.may(ctx); err != nil || len(dst) == 0 {
		return 0, err
	}
	if q.getters.Idle() {
		if n, err = q.getAll(dst); n > 0 || err != nil {
			return n, err
		}
	}
	return q.getBatchSlow(ctx, dst)
}

func (q *Queue[T]) getBatchSlow(ctx context.Context, dst []T) (n int, err error) {
	if q.exact {
		err = q.await(ctx, &q.getters, q.ring.Items(), func() (bool, error) {
			n, err = q.getAll(dst)
			return n > 0, err
		}, q.ring.ready)
		return n, err
	}
	if !q.hold() {
		return 0, errNotOpen
	}
	defer q.life.RUnlock()
	if err := q.unpackNext(ctx, &dst[0]); err != nil {
		return 0, err
	}
	if n, err = q.getAll(dst[1:]); err == io.EOF { // as in getAll
		err = nil
	}
	return n + 1, err
}

// getAll takes what there is now. What it returns beside items is no end: that comes again.
func (q *Queue[T]) getAll(dst []T) (n int, err error) {
	for n < len(dst) {
		k, err := q.getSome(dst[n:])
		if n += k; err == io.EOF && n > 0 {
			return n, nil
		}
		if k == 0 || err != nil {
			return n, err
		}
	}
	return n, nil
}

// getSome takes items that go together.
func (q *Queue[T]) getSome(dst []T) (n int, err error) {
	if !q.exact {
		ok, err := q.get(&dst[0])
		if ok && err == nil {
			n = 1
		}
		return n, err
	}
	r, ok, err := q.ring.Take(len(dst))
	if !ok {
		return 0, getError(err)
	}
	dst = dst[:r.n]
	if q.whole {
		first, second := q.ring.span(r)
		b := layout.SliceBytes(dst)
		copy(b[copy(b, first):], second) // plain: nobody else has the slots
	} else {
		for i := range dst {
			copy(layout.Bytes(&dst[i]), q.ring.Slot(r, i))
		}
	}
	return r.n, getError(q.release(r))
}

// ready reports whether there is an item.
func (m *MPMC) ready() bool {
	s := search{returned: m.ctl.returned.Load(), pos: m.first.Load()}
	if s.returned != 0 {
		s.pos = m.ctl.free.Load()
	}
	_, ok, err := m.take(&s, 0)
	return ok && err == nil
}
