package semaphore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// A Semaphore holds a fixed number of permits in shared memory; who acquires some
// holds them until they are released, by anybody. It is the
// golang.org/x/sync/semaphore of several processes.
//
// A Semaphore value is one process's handle, made by [New], [NewAt] or [Attach]. All
// methods may be called by any number of goroutines; it must not be copied. The memory
// must stay mapped until [Semaphore.Close] has returned.
//
// Permits of a process that ends without releasing them are not given back, unless the semaphore is one of [NewRobust].
//
// # Fairness
//
// Goroutines that wait on one handle are served in the order in which they came, and later ones do not overtake them. Other handles, of this or
// another process, may overtake, so that a permit need not wait for a sleeper to wake up; but before a handle's first waiter goes to
// sleep it claims a turn. While there are claims, every 64th time that permits were taken the turn is given to the next handle that has
// one, in a circle. Then nobody else takes permits until as many are free as that waiter wants, and it has taken them: so
// it is overtaken at most 16 × 65 times, and by those who were taking permits already when its turn came, however many it wants. No more than 16 handles
// can have a claim at once; others that wait have no such bound meanwhile. TryAcquire overtakes as Acquire does, and fails while it is another's turn.
//
// A turn ends when the process dies or the context ends. A process that does not look for two [Step]s, as it was stopped, loses it, and claims
// another when it goes on.
//
// Who holds permits and waits for more may wait for ever, for one whose turn it is and that waits for those: as with golang.org/x/sync/semaphore.
type Semaphore struct {
	body     *body
	capacity int64      // a private copy: what others write to the memory later does not count
	piece    *shm.Piece // the memory, if New or Adopt has it
	ledger   *ledger    // of a robust one
	turns    turns
	queue    Waitqueue
	waits    sync.WaitGroup // calls that wait, or have waited and use the memory still
	order    atomic.Uint32  // for the race detector: its address, never its value
}

// New makes a semaphore with n permits, at least 1, in memory that it shares with other small objects of this process, and returns
// a handle on it. The caller closes the handle. Child processes get it as a part of their arguments: see package process.
func New(n int64) (*Semaphore, error) {
	piece, err := shm.NewPiece("semaphore", Size)
	if err != nil {
		return nil, fmt.Errorf("make semaphore: %w", err)
	}
	s, err := NewAt(piece.Bytes(), n)
	if err != nil {
		return nil, errors.Join(err, piece.Close())
	}
	s.piece = piece
	return s, nil
}

// NewAt makes a semaphore with n permits, at least 1, in the first [Size] bytes of mem
// and returns a handle on it. Nobody else may use those bytes yet; they must be aligned
// to 8 bytes, and better lie at the start of a cache line.
func NewAt(mem []byte, n int64) (*Semaphore, error) {
	if n < 1 {
		return nil, fmt.Errorf("make semaphore: %d permits: want at least 1", n)
	}
	if err := sys.CheckFutex(); err != nil {
		return nil, fmt.Errorf("make semaphore: %w", err)
	}
	b, err := format(mem, n)
	if err != nil {
		return nil, fmt.Errorf("make semaphore: %w", err)
	}
	s := new(Semaphore)
	if err := s.become(b, n); err != nil {
		return nil, fmt.Errorf("make semaphore: %w", err)
	}
	return s, nil
}

// Attach returns a handle on the semaphore that [NewAt] or [NewRobustAt] made at the start of mem, there
// or in another process. With a robust one it takes a seat: the error wraps [ErrNoSeat] if there is none.
func Attach(mem []byte) (*Semaphore, error) {
	if err := sys.CheckFutex(); err != nil {
		return nil, fmt.Errorf("attach semaphore: %w", err)
	}
	s := new(Semaphore)
	if err := s.open(mem); err != nil {
		return nil, fmt.Errorf("attach semaphore: %w", err)
	}
	return s, nil
}

// open makes s, which is new, a handle on the semaphore in mem, of either kind.
func (s *Semaphore) open(mem []byte) error {
	b, capacity, err := join(mem)
	if errors.Is(err, layout.ErrKind) {
		if _, other := layout.Check(mem[:Size], layout.KindRobust); !errors.Is(other, layout.ErrKind) {
			return s.openRobust(mem)
		}
	}
	if err != nil {
		return err
	}
	return s.become(b, capacity)
}

func (s *Semaphore) become(b *body, capacity int64) error {
	id, err := owner.Self()
	if err != nil {
		return err
	}
	s.body, s.capacity = b, capacity
	s.queue.init()
	s.turns.init(&b.turn, &b.claim, id, s.tellAll, func() {
		EventcountOn(&b.single).Rouse()
		EventcountOn(&b.many).Rouse()
	})
	return nil
}

// Share returns what another process needs to have the semaphore, for [Semaphore.Adopt]. Package process calls it. The
// error wraps [os.ErrInvalid] if the semaphore is one of NewAt or Attach, whose memory is not its own.
func (s *Semaphore) Share() (f *os.File, data []byte, ended func(), err error) {
	if s.piece == nil {
		return nil, nil, nil, fmt.Errorf("share semaphore: it lies in memory of the caller's: %w", os.ErrInvalid)
	}
	f, data, err = s.piece.Share()
	return f, data, nil, err
}

// Adopt makes s, which is new(Semaphore), a handle on the semaphore that was shared. f stays the caller's.
func (s *Semaphore) Adopt(f *os.File, data []byte) error {
	piece := new(shm.Piece)
	if err := piece.Adopt(f, data); err != nil {
		return fmt.Errorf("adopt semaphore: %w", err)
	}
	if err := s.open(piece.Bytes()); err != nil {
		return errors.Join(fmt.Errorf("adopt semaphore: %w", err), piece.Close())
	}
	s.piece = piece
	return nil
}

// Acquire takes n permits, waiting until they are free or ctx has ended. It returns
// nil, or an error and then has taken none: ctx.Err() if ctx has ended, even
// before the call; at once, if n is more than the semaphore has in all; and an
// [ErrCorrupted]. A negative n panics.
//
// If the permits come just as ctx ends, it has them for a moment and gives them back; a TryAcquire elsewhere may fail meanwhile.
//
// Who is served before whom stands at [Semaphore].
func (s *Semaphore) Acquire(ctx context.Context, n int64) error {
	mustCount("Acquire", n)
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.queue.Idle() {
		if ok, err := s.take(n); ok || err != nil {
			return err
		}
	}
	return s.acquireSlow(ctx, n)
}

func (s *Semaphore) acquireSlow(ctx context.Context, n int64) error {
	if n > s.capacity {
		return fmt.Errorf("acquire semaphore: %d permits of %d can never be had", n, s.capacity)
	}
	s.waits.Add(1)
	defer s.waits.Done()
	var failed error // written by the queue's server before it closes the waiter's channel
	served, err := s.queue.Wait(ctx, s.eventcount(n), func() bool {
		var ok bool
		ok, failed = s.try(n)
		return ok || failed != nil
	})
	if (!served || failed != nil) && s.queue.Idle() {
		s.turns.withdraw() // others need not wait for this handle to take its turn
	}
	switch {
	case !served:
		return err
	case failed != nil:
		return failed
	case err != nil: // the permits came as the context ended
		s.Release(n)
		return err
	}
	return nil
}

// eventcount returns what is notified for those who wait for n permits.
func (s *Semaphore) eventcount(n int64) Eventcount {
	if n > 1 {
		return EventcountOn(&s.body.many)
	}
	return EventcountOn(&s.body.single)
}

// TryAcquire takes n permits and reports true if they are free, nobody waits on
// this handle, and it is not another's turn; it never blocks. A negative n panics.
func (s *Semaphore) TryAcquire(n int64) bool {
	mustCount("TryAcquire", n)
	if !s.queue.Idle() {
		return false
	}
	ok, err := s.insist(n, s.turns.dead)
	return ok && err == nil
}

// Release gives n permits back and wakes those who may have them. It panics if that
// makes more than the semaphore has in all, and if n is negative; with a robust semaphore, if
// this handle has not as many.
func (s *Semaphore) Release(n int64) {
	mustCount("Release", n)
	sys.RaceRelease(&s.order)
	s.give(n)
	// Killed here: the permits are free, and sleepers notice within Step.
	s.wake(n)
}

// Value returns how many permits were free a moment ago.
func (s *Semaphore) Value() int64 {
	free := s.body.free.Load()
	if s.ledger != nil {
		free = s.ledger.free(uint64(free))
	}
	return min(max(free, 0), s.capacity)
}

// Close gives the handle up and, unless it is the caller's, the memory. It waits until no
// goroutine waits on this handle any more, and until the one that served them has ended.
// No other call may follow or be in progress, except one that waits. Other
// handles, and the permits taken through this one, are not concerned; but what a handle on a robust semaphore has, it gives back.
func (s *Semaphore) Close() (err error) {
	s.waits.Wait()
	s.queue.Drain()
	s.turns.close()
	if s.ledger != nil {
		err = s.ledger.close()
	}
	if s.piece != nil {
		err = errors.Join(err, s.piece.Close())
	}
	if err != nil {
		return fmt.Errorf("close semaphore: %w", err)
	}
	return nil
}

func mustCount(method string, n int64) {
	if n < 0 {
		panic(fmt.Sprintf("semaphore: %s of %d permits: negative", method, n))
	}
}
