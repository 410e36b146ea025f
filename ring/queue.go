package ring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/codec"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// A Queue is a bounded first-in-first-out queue of values of type T, for any number of goroutines in any number of
// processes. T is any type whose values come back exactly in another process: values without pointers are copied as they are, others are
// encoded, at any size.
//
// A *Queue is one process's handle, made by [NewQueue], or by Adopt in a child that was given the queue among its arguments. All
// methods may be called by any number of goroutines.
//
// # Ends
//
// [Queue.Close] gives up the handle, and concerns nobody else: what was put stays. [Queue.CloseSend] ends the queue
// for all processes: nobody can put any more, and consumers get what is there and then [io.EOF].
//
// # Deaths
//
// A process may be killed at any instruction, and nobody else is held up for good: those who wait are told of its end by the
// kernel and mend what it left. A Put that was killed has put the item or has not. A Get that was killed has not shown
// its item to anybody, so by default the item goes to another, before those behind it: every item
// that was put is returned by exactly one Get. What a Get had returned is gone with its process.
type Queue[T any] struct {
	queueCore
	plan  *codec.Plan[T]
	size  int  // of T, if its values lie in the slots as they are; -1: they are encoded
	exact bool // any bytes of that size are a value
	whole bool // and slots are no larger, so that runs are copied at once
}

// QueueOptions say what queue to make. The zero value is fine.
type QueueOptions struct {
	Capacity     int // items; 0: 1024. At most 1<<21
	Participants int // processes, at most 1024; 0: DefaultParticipants

	// Joinable lets [Queue.TaskDone] and [Queue.Join] be used, for which each Get counts what it takes: a locked operation more.
	Joinable bool

	// OnDeath says what becomes of items whose Get was killed before it returned. By default, [Redeliver], they are given to
	// another, because nobody has seen them: that is exactly once. With [Drop] they are lost, as those are that a Get had returned.
	OnDeath Policy

	// Memory is how many bytes there are for items that do not fit into their slots: those that take more than 120 bytes encoded, or
	// 1024 if T has no pointers. It is taken from the machine as it is needed. 0: 64 MiB. A Put of an item that finds no
	// room there waits as if the queue were full.
	Memory int64
}

const (
	defaultCapacity = 1024
	maxQueue        = 1 << 21
	defaultMemory   = 64 << 20
	maxArena        = 1 << 41
)

// NewQueue makes a queue of values of type T, in memory of its own. The caller closes it. The error names the type and the
// field if T's values would not come back exactly.
func NewQueue[T any](o QueueOptions) (*Queue[T], error) {
	q := new(Queue[T])
	err := q.choose()
	if err == nil {
		err = q.create(o)
	}
	if err != nil {
		return nil, fmt.Errorf("make queue: %w", err)
	}
	return q, nil
}

// choose finds out how values of type T lie in the queue.
func (q *Queue[T]) choose() (err error) {
	if err := sys.CheckFutex(); err != nil {
		return err
	}
	if q.plan, err = codec.For[T](nil, nil); err != nil {
		return err
	}
	q.print, q.item, q.size = q.plan.Fingerprint(), encodedSlot, -1
	var v T
	if f := q.plan.Fixed(); f != nil && len(layout.Bytes(&v)) <= maxDirect {
		q.size, q.exact = len(layout.Bytes(&v)), f.Exact()
		q.item = max(q.size, 1)
		q.whole = q.exact && q.size > 0 && q.size%wordSize == 0
	}
	q.direct = q.size >= 0
	return nil
}

// maxDirect is how large values may be that lie in the slots as they are.
const maxDirect = 1024

// A queueCore is what does not depend on the type of the items.
type queueCore struct {
	print  uint64 // of the item type and how it lies in the slots
	item   int    // bytes of a slot
	direct bool   // values lie in the slots as they are, and there is no arena

	ring    *MPMC
	piece   *shm.Piece   // the memory of a direct queue
	segment *shm.Segment // that of others
	large   *largeItems  // of others

	getters, putters, packers, joiners side

	unfinished atomic.Int64 // of a joinable queue: what this process has got and not reported by TaskDone

	open  atomic.Bool
	life  sync.RWMutex // held by Close to unmap the memory, and to use it by who waits or acts on the end of another process
	watch vigil
	order atomic.Uint32 // for the race detector: its address, never its value
}

// create makes the memory and takes the first place.
func (q *queueCore) create(o QueueOptions) error {
	s, err := q.shape(o)
	if err != nil {
		return err
	}
	if q.direct {
		if q.piece, err = shm.NewPiece("queue", s.total); err != nil {
			return err
		}
		err = s.format(q.piece.Bytes(), uint64(s.slots))
	} else {
		if q.segment, err = shm.New("queue", arenaAt(s.total)+shm.ArenaSize(s.arena, 0)); err != nil {
			return err
		}
		if err = q.segment.Reserve(0, s.total); err == nil { // so that no later access can fault
			err = s.format(q.segment.Bytes()[:s.total], uint64(s.slots))
		}
	}
	if err == nil {
		err = q.join(s.total, true)
	}
	if err != nil {
		return errors.Join(err, q.unmap())
	}
	return nil
}

func (q *queueCore) shape(o QueueOptions) (s mpmcShape, err error) {
	if o.Capacity == 0 {
		o.Capacity = defaultCapacity
	}
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	switch {
	case o.Capacity < 1 || o.Capacity > maxQueue:
		return s, fmt.Errorf("capacity %d is not between 1 and %d", o.Capacity, maxQueue)
	case o.Memory < 0 || o.Memory > maxArena:
		return s, fmt.Errorf("memory of %d bytes for large items: not between 0 and %d", o.Memory, int64(maxArena))
	}
	s, err = MPMCOptions{o.Capacity, q.item, o.Participants, o.OnDeath}.shape(layout.KindQueue)
	s.joinable = o.Joinable
	if s.print = q.print; !q.direct {
		s.arena = o.Memory
	}
	return s, err
}

// memory is that of the ring, and behind it, for encoded items, that of the arena.
func (q *queueCore) memory() []byte {
	if q.direct {
		return q.piece.Bytes()
	}
	return q.segment.Bytes()
}

func (q *queueCore) unmap() error {
	if q.piece != nil {
		return q.piece.Close()
	}
	return q.segment.Close()
}

// join takes a place among the participants of the ring in the first size bytes of the memory.
func (q *queueCore) join(size int64, create bool) (err error) {
	mem := q.memory()
	if size < 0 || size > int64(len(mem)) {
		return fmt.Errorf("a ring of %d bytes in memory of %d: %w", size, len(mem), layout.ErrParams)
	}
	if q.ring, err = openMPMC(mem[:size], layout.KindQueue); err != nil {
		return err
	}
	switch r := q.ring; {
	case r.print != q.print:
		return fmt.Errorf("fingerprint %#x, want %#x: %w", r.print, q.print, ErrItemType)
	case r.item != q.item || q.direct != (r.arena == 0):
		return fmt.Errorf("slots of %d bytes, want %d: %w", r.item, q.item, layout.ErrParams)
	case !q.direct:
		if q.large, err = openLarge(r, q.segment, create); err != nil {
			return err
		}
	}
	if err := q.ring.attach(); err != nil {
		return err
	}
	for _, s := range q.sides() {
		s.Waitqueue = semaphore.NewWaitqueue()
	}
	q.getters.at, q.putters.at = &q.ring.first, &q.ring.next
	q.open.Store(true)
	return nil
}

// Cap returns how many items the queue can hold.
func (q *Queue[T]) Cap() int { return q.mustOpen().Cap() }

// Len returns how many items the queue held a moment ago, those included that somebody was just putting or getting.
func (q *Queue[T]) Len() int { return q.mustOpen().Len() }

func (q *queueCore) mustOpen() *MPMC {
	if !q.open.Load() {
		panic("ring: queue that is not open, or closed")
	}
	return q.ring
}

// CloseSend ends the queue for all processes. Whoever puts, or waits to put, gets [ErrClosed] from now on. Consumers get the
// items that are there, and then [io.EOF]. A second call does nothing.
func (q *Queue[T]) CloseSend() error {
	if !q.hold() {
		return errNotOpen
	}
	defer q.life.RUnlock()
	q.ring.Close()
	return nil
}

var errNotOpen = fmt.Errorf("queue is not open in this process: %w", os.ErrClosed)

// Close gives this process's handle up. Goroutines that wait on it get an error that wraps [os.ErrClosed]; no other calls
// may be in progress, not even a Put of which the item was got already: who cannot know ends the context of those who use the queue, and
// waits for them. Other processes are not concerned, and when the last has closed its handle the memory is
// gone. What this process has taken and not reported by TaskDone counts as done. A second Close does nothing.
func (q *Queue[T]) Close() error {
	if !q.open.CompareAndSwap(true, false) {
		return nil
	}
	q.ring.wakeAll()
	q.life.Lock()
	defer q.life.Unlock()
	for _, s := range q.sides() {
		s.Drain()
	}
	q.watch.stop()
	if err := errors.Join(q.ring.Detach(), q.unmap()); err != nil {
		return fmt.Errorf("close queue: %w", err)
	}
	return nil
}

func (q *queueCore) sides() [4]*side {
	return [...]*side{&q.getters, &q.putters, &q.packers, &q.joiners}
}

// may says why a blocking call must not even begin.
func (q *queueCore) may(ctx context.Context) error {
	if !q.open.Load() {
		return errNotOpen
	}
	return ctx.Err()
}
