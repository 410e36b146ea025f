package semaphore

import (
	"structs"
	"sync/atomic"
)

// claimWords are, in shared memory, the claims of handles that wait for permits of a [Semaphore]: each from 0 to the owner.ID of a process
// by one of its handles, which also makes it 0 again; so does who passes that handle over.
type claimWords struct {
	_    structs.HostLayout
	word [claims]atomic.Uint64
}

// The word of [turns], from low to high, 0 at first. Every change of it is atomic:
//
//   - 8 bits: the claim that has the turn, plus 1; 0: whoever comes may take permits
//   - 8 bits: the claim that had the last turn
//   - 16 bits: how often permits were taken since the last turn
//   - 31 bits: a number that is raised when a turn ends, and by who has it whenever it has looked in vain
//   - bit 63, claimed: there may be claims; without it the rest says nothing
const (
	lastShift   = 8
	passedShift = 16
	beatShift   = 32

	turnMask   = 1<<lastShift - 1
	lastMask   = 1<<passedShift - 1<<lastShift
	passedMask = 1<<beatShift - 1<<passedShift
	beatMask   = 1<<63 - 1<<beatShift
)

// turnOf returns the claim that has the turn by word w, plus 1; 0: none.
func turnOf(w uint64) int {
	if w&claimed == 0 {
		return 0
	}
	return int(w & turnMask)
}

// beaten is w with the next number.
func beaten(w uint64) uint64 { return w&^beatMask | (w+1<<beatShift)&beatMask }

// endedTurn is the word after the turn that w tells of.
func endedTurn(w uint64) uint64 { return beaten(w) &^ turnMask }

// passedOnce is the word after permits were taken once more; due says that it is time for a turn.
func passedOnce(w uint64) (next uint64, due bool) {
	return w&^passedMask | (w+1<<passedShift)&passedMask, w&passedMask>>passedShift+1 >= maxPassed
}
