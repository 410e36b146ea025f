package semaphore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/owner"
)

// Turns let one handle after the other have permits of a [Semaphore] for which it has waited long. A turns is a handle's view of them.
//
// Who is about to sleep claims a turn. While there are claims, those who take permits count it, and who has counted to maxPassed
// gives the turn to the next claim. From then on nobody else takes permits, until as many have come free as that handle wants, it has taken them
// and ended its turn.
//
// A turn is only a courtesy: whatever is wrong with it, nothing is but the order, and that for as long as keeps.
//
// # Who is told
//
// A sleeper that may not use what is free must be told when it may. So whoever gives a turn or ends one does it by a compare-and-swap, and
// tells all sleepers afterwards; and who frees permits while it is somebody's turn tells all too, since the one who can use them is one
// of them. If it frees them before the turn is given, and has told another, then the one who gives it tells all after that.
//
// # Deaths
//
// Whoever is refused watches the one who has the turn, and is told of its end: then it passes it over. It does the same with one that has
// not looked for two Steps, as it was stopped: who has the turn looks each Step, and raises the number. A claim that a
// dead process leaves has a turn, once, which the next ends. One that was withdrawn just as it got the turn is 0, and passed over at once.
type turns struct {
	word  *atomic.Uint64
	claim *claimWords
	id    owner.ID // this process
	tell  func()   // wakes all who sleep
	keeps time.Duration
	vigil vigil

	own atomic.Int32 // the claim of this handle, plus 1; 0: none

	mu    sync.Mutex // held while the claim is made or withdrawn, or another passed over
	turn  uint64     // the turn of another, as this handle saw it last, and since when
	since time.Time
}

func (t *turns) init(word *atomic.Uint64, claim *claimWords, id owner.ID, tell, rouse func()) {
	t.word, t.claim, t.id, t.tell, t.keeps = word, claim, id, tell, 2*Step
	t.vigil.init(rouse)
}

// look returns the word. Without the bit claimed there is nothing to heed.
func (t *turns) look() (w uint64) { return t.word.Load() } // pairs with the compare-and-swaps in taken and end, and the Or in stand

// open reports whether this handle may take permits, by word w.
func (t *turns) open(w uint64) bool {
	turn := turnOf(w)
	return turn == 0 || turn == int(t.own.Load())
}

// taken is called after this handle took permits while there were claims.
func (t *turns) taken() {
	// Killed here: it is not counted, or the turn is a dead process's.
	if t.withdraw() {
		return
	}
	for {
		w := t.look()
		if w&claimed == 0 || turnOf(w) != 0 { // nobody waits; or the turn was given after this one has looked
			return
		}
		next, due := passedOnce(w)
		if due {
			if next = t.next(w); next == 0 {
				t.settle()
				return
			}
		}
		if !t.word.CompareAndSwap(w, next) { // pairs with the load in look
			continue
		}
		if due {
			// Killed here: sleepers notice within Step.
			t.tell()
		}
		return
	}
}

// next returns the word with the turn for the next claim after the last, 0 if there is none.
func (t *turns) next(w uint64) uint64 {
	last := int(w & lastMask >> lastShift)
	for i := range claims {
		slot := (last + 1 + i) % claims
		if t.claim.word[slot].Load() != 0 {
			return w&^(turnMask|lastMask|passedMask) | uint64(slot+1) | uint64(slot)<<lastShift
		}
	}
	return 0
}

// stand claims a turn for this handle, that is about to sleep. If there is no place for it, it is served when it comes at the right moment.
func (t *turns) stand() {
	if t.stands() && t.look()&claimed != 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stands() {
		t.own.Store(0)
		for i := range t.claim.word {
			if t.claim.word[i].CompareAndSwap(0, uint64(t.id)) { // pairs with the loads in next and settle
				t.own.Store(int32(i + 1))
				break
			}
		}
	}
	if t.own.Load() != 0 && t.look()&claimed == 0 {
		t.word.Or(claimed) // after the claim: pairs with the compare-and-swap in settle
	}
}

// stands reports whether the claim of this handle is still there.
func (t *turns) stands() bool {
	own := t.own.Load()
	return own != 0 && t.claim.word[own-1].Load() == uint64(t.id)
}

// withdraw takes the claim of this handle back, and ends its turn if it has it.
func (t *turns) withdraw() (ended bool) {
	if t.own.Load() == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.own.Swap(0)
	if own == 0 {
		return false
	}
	t.claim.word[own-1].CompareAndSwap(uint64(t.id), 0)
	// After that: who gives the turn to this claim just now has it end here, or tells others, who see that the claim is gone. Killed between the
	// two: they see it too.
	for w := t.look(); turnOf(w) == int(own); w = t.look() {
		if ended = t.end(w); ended {
			return true
		}
	}
	t.settle()
	return false
}

// end ends the turn that word w tells of, if it has not ended, and tells those who have waited for that.
func (t *turns) end(w uint64) bool {
	if !t.word.CompareAndSwap(w, endedTurn(w)) { // pairs with the load in look
		return false
	}
	// Killed here: sleepers notice within Step.
	t.tell()
	t.settle()
	return true
}

// settle clears the bit claimed if there are no claims.
func (t *turns) settle() {
	for {
		w := t.look()
		if w&claimed == 0 || turnOf(w) != 0 || t.any() {
			return
		}
		if t.word.CompareAndSwap(w, w&^claimed) { // pairs with the Or in stand
			break
		}
	}
	// Who has claimed before the bit was cleared, and saw it set, is seen here. Killed between the two: it sets the bit when it looks next.
	if t.any() {
		t.word.Or(claimed)
	}
}

func (t *turns) any() bool {
	for i := range t.claim.word {
		if t.claim.word[i].Load() != 0 { // pairs with the compare-and-swap in stand
			return true
		}
	}
	return false
}

// beat says that this handle, if it has the turn, still waits.
func (t *turns) beat() {
	if w := t.look(); turnOf(w) != 0 && t.open(w) {
		t.word.CompareAndSwap(w, beaten(w)) // pairs with the load in pass
	}
}

// pass ends the turn of another that has ended, as gone says, or that does not wait any more, and reports whether it did.
func (t *turns) pass(gone func(id owner.ID) bool) bool {
	w := t.look()
	if t.open(w) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id, slot := owner.ID(0), turnOf(w)-1
	if slot < claims { // else somebody wrote what nobody can have written
		id = owner.ID(t.claim.word[slot].Load())
	}
	if id != 0 && !gone(id) && !t.overdue(w) {
		return false
	}
	if id != 0 {
		// Killed here: the turn is nobody's. If it has ended meanwhile, this is the claim of one who claims again when it looks next.
		t.claim.word[slot].CompareAndSwap(uint64(id), 0)
	}
	return t.end(w)
}

// overdue reports whether who has the turn has not looked for long.
func (t *turns) overdue(w uint64) bool {
	if turn := w & (turnMask | beatMask); t.turn != turn {
		t.turn, t.since = turn, time.Now()
	}
	return time.Since(t.since) >= t.keeps
}

// dead is pass's gone for who does not wait.
func (t *turns) dead(id owner.ID) bool { return !t.vigil.alive(id) }

// close withdraws the claim, and ends the vigil.
func (t *turns) close() {
	t.withdraw()
	t.vigil.close()
}
