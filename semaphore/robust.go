package semaphore

import (
	"errors"
	"fmt"
	"math/bits"
	"structs"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

const (
	// RobustSize is how many bytes of shared memory a robust [Semaphore] takes.
	RobustSize = Size + (1+Seats)*layout.Line

	// MaxRobust is how many permits a robust semaphore can have.
	MaxRobust = 1<<16 - 1
)

// robustBody is a robust semaphore in shared memory: a semaphore whose word says more, and who has its permits.
type robustBody struct {
	_ structs.HostLayout
	body
	roll roll // a seat's count is a word of the semaphore, as it was when it last told of that seat and was replaced
}

var _ = layout.Sized[robustBody](RobustSize)

// NewRobust is [New] for a semaphore whose permits come back when the process dies that holds them: those who wait are told of
// it at once. n is at most [MaxRobust]. There can be [Seats] handles at a time.
//
// Permits belong to the handle that acquired them, and Release of more than it has panics. [Semaphore.Close]
// gives back what it has. It takes [RobustSize] bytes, 33 KB, where a plain one takes [Size].
func NewRobust(n int64) (*Semaphore, error) {
	piece, err := shm.NewPiece("robust semaphore", RobustSize)
	if err != nil {
		return nil, fmt.Errorf("make semaphore: %w", err)
	}
	s, err := NewRobustAt(piece.Bytes(), n)
	if err != nil {
		return nil, errors.Join(err, piece.Close())
	}
	s.piece = piece
	return s, nil
}

// NewRobustAt is [NewAt] for a robust semaphore, see [NewRobust], in the first [RobustSize] bytes of mem. [Attach] returns other handles.
func NewRobustAt(mem []byte, n int64) (*Semaphore, error) {
	if n < 1 || n > MaxRobust {
		return nil, fmt.Errorf("make robust semaphore: %d permits: want 1 to %d", n, MaxRobust)
	}
	if err := sys.CheckFutex(); err != nil {
		return nil, fmt.Errorf("make robust semaphore: %w", err)
	}
	s := new(Semaphore)
	err := formatRobust(mem, n)
	if err == nil {
		err = s.openRobust(mem)
	}
	if err != nil {
		return nil, fmt.Errorf("make robust semaphore: %w", err)
	}
	return s, nil
}

func formatRobust(mem []byte, n int64) error {
	b, err := robustAt(mem)
	if err != nil {
		return err
	}
	clear(mem[:RobustSize]) // plain: nobody else uses it yet
	b.free.Store(n)
	return owner.Init(mem[:RobustSize], layout.KindRobust, uint64(n))
}

func robustAt(mem []byte) (*robustBody, error) {
	if len(mem) < RobustSize {
		return nil, fmt.Errorf("memory of %d bytes, a robust semaphore takes %d", len(mem), RobustSize)
	}
	return layout.At[robustBody](mem, 0)
}

// openRobust makes s, which is new, a handle on the robust semaphore in mem.
func (s *Semaphore) openRobust(mem []byte) error {
	b, err := robustAt(mem)
	if err != nil {
		return err
	}
	params, err := owner.Check(mem[:RobustSize], layout.KindRobust)
	if err != nil {
		return err
	}
	if c := params[0]; c < 1 || c > MaxRobust {
		return fmt.Errorf("capacity %d: %w", c, ErrCorrupted)
	}
	l := &ledger{word: &b.free, capacity: int64(params[0]), width: bits.Len64(params[0])}
	l.granted = func(n int64) { s.wake(n) }
	if err := s.become(&b.body, l.capacity); err != nil {
		return err
	}
	s.ledger = l
	// A count that became 0 again would be one that it was before: who is late in ledger.settle must not find it. Who had the seat has
	// nothing, by the word or by the count.
	l.keeps = true
	if err := l.join(&b.roll, l.bury); err != nil {
		return err
	}
	s.tellAll() // those who sleep watch this process from now on
	return nil
}

// Robust reports whether permits of dead processes come back.
func (s *Semaphore) Robust() bool { return s.ledger != nil }

// close gives back what the handle has, and its seat.
func (l *ledger) close() error {
	l.watch.stop()
	l.bury(l.self, l.id)
	return l.leave()
}

// bury gives back what the dead owner of seat i held. It is done when the seat has nothing, or is another's.
func (l *ledger) bury(i int, dead owner.ID) {
	for {
		w := l.load()
		free, held, sound := l.account(w, i)
		switch {
		case !l.isOf(i, dead): // it was when this began, so somebody else has done it
			return
		case !sound:
			if l.load() == w { // written by who must not: an operation says so
				return
			}
		case held == 0:
			return
		case l.replace(w, i, 0, free+held):
			// Killed here: the permits are free, and sleepers notice within Step.
			l.granted(held)
			return
		}
	}
}
