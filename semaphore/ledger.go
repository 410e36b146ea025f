package semaphore

import (
	"fmt"
	"sync/atomic"
)

// A ledger is what a handle on a robust semaphore has beside the handle on a plain one: it knows who holds the permits.
//
// # The word
//
// The semaphore's word tells how many permits are free, and what the last operation was, by its outcome: the seat of who made it, and
// how many permits that seat has since. Above stands a number that each operation raises. From low to high, where w is as
// many bits as the capacity needs: w bits free, w bits held, 8 bits of the seat, and 56-2w bits of the number, at least 24.
//
// Each operation is ONE compare-and-swap of that word. So there is no moment at which permits are neither free nor anybody's, wherever a process
// is killed.
//
// # The seats
//
// What a seat has stands in the semaphore's word while that names the seat. Otherwise it stands in the seat's own count, which is
// the semaphore's word as it was when it last named that seat. The invariant:
//
//	before the word comes to name another seat, the count of the one that it names is made a copy of it.
//
// Whoever is about to make it name another does that, so one who was killed after its own operation leaves nothing that others
// would not complete. Somebody who is late may copy an older word: it has seen the count as it was before, and the
// semaphore's word still the same after that; so the word has named that seat ever since, or else the count is not what
// it was and the compare-and-swap fails. And as long as the word names the seat, nobody goes by the count.
//
// A seat that uses the semaphore alone writes nothing but the word.
//
// # The wrap
//
// A compare-and-swap of the word is right unless the word has changed and is the same again, which takes the same number: a multiple of 2^24
// operations or more, while one process stands between two instructions, and then a hit in that very one, with the same seat, the same
// permits of it and the same free ones. For up to 255 permits it is a multiple of 2^40: hours.
//
// That the last operation stands in the word, and is completed by the next, is how detectable objects are made since Attiya, Ben-Baruch and Hendler.
type ledger struct {
	table
	word     *atomic.Int64
	capacity int64
	width    int
	granted  func(n int64) // wakes those who may have n permits that have come free
}

const seatBits = 8

var _ = [1]struct{}{}[1<<seatBits-Seats]

func (l *ledger) load() uint64 { return uint64(l.word.Load()) } // pairs with the compare-and-swap in replace

func (l *ledger) free(w uint64) int64 { return int64(w & (1<<l.width - 1)) }

func (l *ledger) held(w uint64) int64 { return l.free(w >> l.width) }

func (l *ledger) seat(w uint64) int { return int(w >> (2 * l.width) & (Seats - 1)) }

// replace makes w the word after an operation by which seat i has held permits, and free are free.
func (l *ledger) replace(w uint64, i int, held, free int64) (ok bool) {
	shift := 2*l.width + seatBits
	next := (w>>shift+1)<<shift | uint64(i)<<(2*l.width) | uint64(held)<<l.width | uint64(free)
	return l.word.CompareAndSwap(int64(w), int64(next)) // pairs with the load in load: hands over what was written under the permits
}

// account returns how many permits are free by word w, and how many seat i has, and has made sure that w may be replaced by a word that names
// seat i. It is not sound if the word is not w any more, or holds what nobody can have written.
func (l *ledger) account(w uint64, i int) (free, held int64, sound bool) {
	free, held = l.free(w), l.held(w)
	if s := l.seat(w); s != i {
		if free+held > l.capacity || !l.settle(s, w) {
			return free, held, false
		}
		held = l.held(l.seats[i].count.Load()) // pairs with the compare-and-swap in settle
	}
	return free, held, free+held <= l.capacity
}

// settle makes the count of seat s a copy of w, which names it. It reports false if the word is not w any more.
func (l *ledger) settle(s int, w uint64) (ok bool) {
	count := &l.seats[s].count
	for {
		was := count.Load()
		if was == w {
			return true
		}
		if l.load() != w {
			return false
		}
		// Killed here, or after: the next does it.
		if count.CompareAndSwap(was, w) { // pairs with the load in account
			return true
		}
	}
}

// take moves n permits to this handle, if they are free.
func (l *ledger) take(n int64) (ok bool, err error) {
	for {
		w := l.load()
		free, held, sound := l.account(w, l.self)
		switch {
		case !sound:
			if l.load() == w {
				return false, fmt.Errorf("acquire semaphore: word %#x with %d permits: %w", w, l.capacity, ErrCorrupted)
			}
		case free < n:
			return false, nil
		// Killed before the CAS: nothing was taken. After it: whoever buries this process gives it back.
		case n == 0 || l.replace(w, l.self, held+n, free-n):
			return true, nil
		}
	}
}

// give gives n permits of this handle back. It panics if it has not as many.
func (l *ledger) give(n int64) {
	for {
		w := l.load()
		free, held, sound := l.account(w, l.self)
		switch {
		case !sound || held < n:
			if l.load() == w {
				panic(fmt.Sprintf("semaphore: released more than held: %d with %d held by this handle and %d of %d free", n, held, free, l.capacity))
			}
		case n == 0 || l.replace(w, l.self, held-n, free+n):
			return
		}
	}
}
