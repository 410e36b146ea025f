package pool

import "fmt"

// A word is the truth about one slot of the task table: who owns it and which task
// it holds. Every change of owner is one compare-and-swap of it:
//
//	free    -> queued(gen)              parent, once the slot is written
//	queued  -> running(worker, gen)     a worker claims
//	queued  -> free                     parent cancels
//	running -> done | failed            the worker, once the result is in place
//	running -> doomed                   parent, before it signals the worker
//	doomed  -> failed                   parent, after proof that the worker is dead
//	running -> queued | failed          parent, likewise, for a worker that died
//	done | failed -> free               parent, when it has taken the result
//
// From low to high: 4 bits of state, 20 bits of worker incarnation, 40 bits of
// generation. The generation grows with each task that the slot takes, so a CAS that was
// meant for one task never hits another: at a million tasks a second through one
// slot it comes round after twelve days, within which the CAS must have been asleep.
type word uint64

type state uint8

const (
	free    state = iota // zeroed memory: no task
	queued               // waits for a worker
	running              // claimed by the worker named in the word
	done                 // result in place
	failed               // error in place
	doomed               // its worker is to die; nobody else may decide
)

const (
	stateBits  = 4
	workerBits = 20
	genBits    = 40

	// maxIncarnation bounds the numbers that tell workers apart. A number is used
	// again only after the slots were searched for its last bearer.
	maxIncarnation = 1<<workerBits - 1
	maxGeneration  = 1<<genBits - 1
)

func makeWord(s state, worker uint32, gen uint64) word {
	return word(s) | word(worker)<<stateBits | word(gen)<<(stateBits+workerBits)
}

func (w word) state() state   { return state(w & (1<<stateBits - 1)) }
func (w word) worker() uint32 { return uint32(w>>stateBits) & maxIncarnation }
func (w word) gen() uint64    { return uint64(w >> (stateBits + workerBits)) }

func (s state) String() string {
	names := [...]string{"free", "queued", "running", "done", "failed", "doomed"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("impossible state %d", uint8(s))
}

func (w word) String() string {
	return fmt.Sprintf("%v by worker %d, generation %d", w.state(), w.worker(), w.gen())
}
