package ring

import (
	"context"
	"fmt"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// Put appends v. It waits while the queue is full, until ctx has ended. Without an error v is in the queue; with one it is not. The
// error is ctx's, also if that had ended before, or wraps [ErrClosed] after CloseSend, [shm.ErrTooLarge] if v is larger than the memory for large items,
// [shm.ErrNoMemory], [ErrCorrupted], or is that of a value that cannot be encoded exactly.
func (q *Queue[T]) Put(ctx context.Context, v T) error {
	if err := q.may(ctx); err != nil {
		return err
	}
	if q.direct && q.putters.Idle() {
		if ok, err := q.putDirect(&v); ok || err != nil {
			return err
		}
	}
	return q.putSlow(ctx, v)
}

// TryPut is Put without waiting: ok is false if the queue is full, or others wait on this handle to put.
func (q *Queue[T]) TryPut(v T) (ok bool, err error) {
	switch {
	case !q.open.Load():
		return false, errNotOpen
	case !q.putters.Idle() || !q.packers.Idle():
		return false, nil
	case q.direct:
		return q.putDirect(&v)
	}
	if !q.ring.Closed() && !q.ring.roomy() { // before a block is taken for nothing
		return false, nil
	}
	p, err := q.parcel(&v)
	if err != nil {
		return false, err
	}
	defer q.scrap(&p) // if it was not sent
	if ok, err = q.pack(&p); !ok {
		return false, err
	}
	return q.ship(&p)
}

// putDirect puts a value that lies in its slot as it is.
func (q *Queue[T]) putDirect(v *T) (ok bool, err error) {
	if s, ok := q.ring.reserveOne(); ok {
		layout.Write(q.ring.mem[s.at:], v) // plain: nobody else has the slot
		sys.RaceRelease(&q.order)
		q.ring.commitOne(s)
		return true, nil
	}
	r, ok, err := q.ring.Reserve(1)
	if !ok {
		return false, putError(err)
	}
	copy(q.ring.Slot(r, 0), layout.Bytes(v)) // plain: nobody else has the slot
	return true, q.commit(r)
}

func (q *queueCore) commit(r Run) error {
	sys.RaceRelease(&q.order)
	return putError(q.ring.Commit(r))
}

func putError(err error) error {
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	return nil
}

func (q *Queue[T]) putSlow(ctx context.Context, v T) error {
	if !q.hold() {
		return errNotOpen
	}
	defer q.life.RUnlock()
	return q.putHeld(ctx, v)
}

// putHeld is putSlow for who holds the memory.
func (q *Queue[T]) putHeld(ctx context.Context, v T) error {
	if q.direct {
		return q.awaitHeld(ctx, &q.putters, q.ring.Room(), func() (bool, error) { return q.putDirect(&v) }, q.ring.roomy)
	}
	p, err := q.parcel(&v)
	if err != nil {
		return err
	}
	defer q.scrap(&p) // if it was not sent
	// First for memory, then for a slot: a wake-up for a slot must not go to who needs memory. All are told of memory that is free.
	if p.encoded.Size() > maxInline {
		err := q.tryOrAwait(ctx, &q.packers, q.large.freed(), func() (bool, error) { return q.pack(&p) }, func() bool { return false })
		if err != nil {
			return err
		}
	}
	return q.tryOrAwait(ctx, &q.putters, q.ring.Room(), func() (bool, error) { return q.ship(&p) }, q.ring.roomy)
}

// PutAll appends all of vs, in order. It waits as Put does, and returns how many of them, the first ones, are in the queue: all, or fewer and
// an error. Others may put theirs in between. It is much faster than as many calls of Put if T has no pointers.
func (q *Queue[T]) PutAll(ctx context.Context, vs []T) (n int, err error) {
	if err := q.may(ctx); err != nil {
		return 0, err
	}
	if !q.hold() {
		return 0, errNotOpen
	}
	defer q.life.RUnlock()
	for n < len(vs) {
		if !q.open.Load() {
			return n, errNotOpen
		}
		if !q.direct {
			if err := q.putHeld(ctx, vs[n]); err != nil {
				return n, err
			}
			n++
			continue
		}
		k, err := 0, error(nil)
		if q.putters.Idle() {
			k, err = q.putSome(vs[n:])
		}
		if k == 0 && err == nil {
			rest := vs[n:]
			err = q.awaitHeld(ctx, &q.putters, q.ring.Room(), func() (bool, error) {
				var err error
				k, err = q.putSome(rest)
				return k > 0, err
			}, q.ring.roomy)
		}
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}

// putSome puts the first ones of vs, as many as there is room for now and as go together.
func (q *Queue[T]) putSome(vs []T) (n int, err error) {
	r, ok, err := q.ring.Reserve(len(vs))
	if !ok {
		return 0, putError(err)
	}
	vs = vs[:r.n]
	if q.whole {
		first, second := q.ring.span(r)
		copy(second, layout.SliceBytes(vs)[copy(first, layout.SliceBytes(vs)):]) // plain: nobody else has the slots
	} else {
		for i := range vs {
			copy(q.ring.Slot(r, i), layout.Bytes(&vs[i]))
		}
	}
	return r.n, q.commit(r)
}

// span returns the memory of a run whose slots have no gaps between items: two parts, where it goes over the end of the ring.
func (m *MPMC) span(r Run) (first, second []byte) {
	at, size := m.slot(r.pos)*m.stride, r.n*m.stride
	if rest := len(m.mem) - at; rest < size {
		return m.mem[at:], m.mem[:size-rest]
	}
	return m.mem[at : at+size], nil
}

// roomy reports whether there is room for another item.
func (m *MPMC) roomy() bool {
	for {
		pos, _, err := m.end()
		if err != nil {
			return false
		}
		if k, again, err := m.vacant(pos, 1); !again {
			return k > 0 && err == nil
		}
	}
}
