package ring

import (
	"context"
	"errors"
	"fmt"
)

// TaskDone says that one item that this process has got is finished. [Queue.Join] waits until that was said of all. It panics if
// the process has not got as many, or the queue is not Joinable.
func (q *Queue[T]) TaskDone() {
	m := q.mustOpen()
	if !m.joinable {
		panic("ring: TaskDone of a queue that was not made with QueueOptions.Joinable")
	}
	if q.unfinished.Add(-1) < 0 {
		q.unfinished.Add(1)
		panic("ring: TaskDone more often than items were got")
	}
	m.table[m.self].dones.Add(1) // pairs with the load in finished
	m.idle().NotifyAll()
}

// Join waits until the queue is empty and all that was got from it was reported by TaskDone, or ctx has ended. Items of a process that
// has died or closed its handle count as done, unless they went to another. The queue was idle at one moment: somebody may
// have put more since. The error is ctx's, wraps [ErrCorrupted], or says that the queue is not Joinable.
func (q *Queue[T]) Join(ctx context.Context) error {
	if err := q.may(ctx); err != nil {
		return err
	}
	if !q.ring.joinable {
		return errNotJoinable
	}
	return q.await(ctx, &q.joiners, q.ring.idle(), q.ring.finished, func() bool { return false })
}

// finished reports whether at one moment nothing was in the ring, and nothing in the hands of a participant.
//
// All that was ever put was taken and released before the first look at the end, and counted by who took it before
// that. If the ring still ends there at the last look, nothing was put in between, by those neither who were still at it.
func (m *MPMC) finished() (bool, error) {
	free, w, err := m.advance()
	if err != nil {
		return false, fmt.Errorf("join: %w", err)
	}
	if m.age(free, w) <= 0 {
		m.blocked(w)
		return false, nil
	}
	for i := range m.table {
		p := &m.table[i]
		if dones := p.dones.Load(); p.owner.Load() != 0 && dones != p.takes.Load() { // pairs with TaskDone and release
			return false, nil
		}
	}
	return m.word(free).Load() == uint64(w), nil // pairs with the compare-and-swap in Reserve
}

var errNotJoinable = errors.New("join: the queue was not made with QueueOptions.Joinable")
