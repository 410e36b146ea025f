package semaphore

import (
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// Seats is how many handles there can be at a time, in all processes, on an object that knows its participants. One more is
// refused with [ErrNoSeat]; the seats of dead processes are given to others.
const Seats = 256

// A roll is the table of participants of an object, in shared memory: all zero at first.
type roll struct {
	_      structs.HostLayout
	joined atomic.Uint32 // raised after a seat was taken; pairs with the load in mind
	_      [layout.Line - 4]byte
	seats  [Seats]seat
}

var _ = layout.Sized[roll](layout.Line + Seats*layout.Line)

// A seat is one handle's place in the table: a line of its own, as its owner may write it often.
type seat struct {
	_ structs.HostLayout

	// owner is the process: its [owner.ID], 0 if nobody ever had the seat, or vacant. Every change is a compare-and-swap:
	//
	//	0, vacant -> ID      a handle of that process takes the seat
	//	ID        -> vacant  the same gives it up; or anybody, when the process is dead and the object has
	//	                     nothing left of it
	//
	// It never becomes 0 again, and seats are taken from the front: behind a 0 nobody ever sat.
	owner atomic.Uint64

	// count is the object's own. It is 0 when a handle has taken the seat, or as it was left if the table keeps it.
	count atomic.Uint64

	_ [layout.Line - 16]byte
}

// vacant is the owner of a seat that was given up: the ID of no process.
const vacant = 1<<22 - 1

// A table is a handle's view of a roll, with the seat that it has.
//
// # Deaths
//
// A process may be killed at any instruction, and so may one who buries it. No mark keeps others from burying the same one: a stopped
// process that had made the mark would hold up everybody. Instead the object's bury can be called by any number of processes at once,
// again after one of them was killed in it, and late, when the seat is another's already. It takes what the dead
// left by ONE compare-and-swap, of a word that changes whenever the seat's next owner does something that matters, in this order:
//
//  1. load that word;
//  2. see in the seat what the dead had, and then that the seat is still the dead one's: [table.isOf];
//  3. compare-and-swap the word.
//
// If 3 succeeds, the word has not changed since 1, and at 2 the seat was still that of the dead. Its next owner can do nothing
// between without changing the word. Only when there is nothing left is the seat made vacant.
type table struct {
	*roll
	self  int // the seat
	id    owner.ID
	alive func(owner.ID) bool

	// bury frees others from what the dead owner of seat i left: see above. It takes no locks that are held around mind.
	bury func(i int, dead owner.ID)

	keeps bool // a new owner leaves the count of its seat as it is

	watch watch
}

// join takes a seat. The object then wakes those who sleep, before this process can do anything that they would have to mind.
// The error wraps ErrNoSeat if all are taken by the living.
func (t *table) join(r *roll, bury func(i int, dead owner.ID)) error {
	id, err := owner.Self()
	if err != nil {
		return err
	}
	t.roll, t.id, t.alive, t.bury = r, id, owner.ID.Alive, bury
	return t.sit()
}

func (t *table) sit() error {
	if !t.take() {
		if t.recover(); !t.take() {
			return fmt.Errorf("%d handles are open: %w", Seats, ErrNoSeat)
		}
	}
	// Killed here: the count is what the last owner left, of whom nothing matters any more.
	if !t.keeps {
		t.mine().count.Store(0)
	}
	t.joined.Add(1) // those who look from now on watch this process; pairs with the load in mind
	return nil
}

func (t *table) take() (ok bool) {
	for i := range t.seats {
		s := &t.seats[i]
		was := s.owner.Load()
		if (was == 0 || was == vacant) && s.owner.CompareAndSwap(was, uint64(t.id)) { // pairs with the loads in isOf and each
			t.self = i
			return true
		}
	}
	return false
}

// mine returns this handle's seat.
func (t *table) mine() *seat { return &t.seats[t.self] }

// isOf reports whether seat i is that of process id.
func (t *table) isOf(i int, id owner.ID) bool { return t.seats[i].owner.Load() == uint64(id) } // pairs with the CAS in take

// each calls f for all seats that somebody has. One that is taken meanwhile may be left out.
func (t *table) each(f func(i int, id owner.ID)) {
	for i := range t.seats {
		switch was := t.seats[i].owner.Load(); was { // pairs with the CAS in take
		case 0:
			return
		case vacant:
		default:
			f(i, owner.ID(was))
		}
	}
}

// recover buries all who are dead. It asks the system about everybody: who knows of a death calls it, or wants to know.
func (t *table) recover() {
	t.each(func(i int, id owner.ID) {
		if id != t.id {
			t.check(i, id)
		}
	})
}

// check buries the owner of seat i if it is dead, and reports whether it was.
func (t *table) check(i int, id owner.ID) (dead bool) {
	if t.alive(id) {
		return false
	}
	t.inter(i, id)
	return true
}

// inter buries the owner of seat i, which is dead.
func (t *table) inter(i int, dead owner.ID) {
	t.bury(i, dead)
	// Killed before: the next who looks does it again, and finds nothing more to do.
	t.seats[i].owner.CompareAndSwap(uint64(dead), vacant)
}

// leave gives the seat up, and stops the watch. The object has nothing in the seat any more that matters.
func (t *table) leave() error {
	t.watch.stop()
	if !t.mine().owner.CompareAndSwap(uint64(t.id), vacant) {
		return fmt.Errorf("seat %d is not of process %v: %w", t.self, t.id, ErrCorrupted)
	}
	return nil
}
