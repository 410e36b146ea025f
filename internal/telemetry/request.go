package telemetry

import (
	"sync/atomic"
	"time"
)

// A Request is what somebody from outside wants a pool's parent to do, or what the parent has answered: an act in the low 4 bits, and of
// what above them. 0 is none.
//
//	who asks                                     parent
//	CAS 0, or an old answer -> request           announce that it sleeps (bell)
//	wake the parent, whether it sleeps or not    load the request
//	poll until it is an answer                   do it; CAS request -> its answer
//	CAS answer -> 0                              sleep while nobody has rung
//
// Whoever is first in the total order, the other sees it: the parent finds the request before it sleeps, or is woken.
//
// Killed here: who asks leaves a request, which is served with the next look, or an answer, which the next one replaces. Nothing is ever waited for
// without a bound. The word may be changed by anybody who has the memory, so whoever finds another's there says so and does not
// know what has become of its own; and to the parent every value is a request like any other. Who can write it can write all other words of the
// memory, too: by a false request a worker can have tasks and workers killed, and no more than that.
type Request uint64

// An Act is what is asked for, or what has come of it.
type Act uint64

// What can be asked for.
const (
	_             Act = iota
	KillTask          // end a task, and its worker if that runs it
	KillWorker        // end a worker
	ShowStacks        // have a worker say where its goroutines are
	RecordProfile     // have a worker say for what it uses its processors
)

// What comes of it.
const (
	Done    Act = 8 + iota
	Missing     // there is no such task or worker, or it has ended
	Ending      // nothing is done because the pool ends
	Busy        // the worker has not taken note of what it was asked before
	Unknown     // the parent does not know what is asked
)

const (
	actBits         = 4
	taskBits        = 60
	incarnationBits = 20
	lengthBits      = 24
	nonceBits       = 16
)

// LongestProfile is how long a profile may take.
const LongestProfile = (1<<lengthBits - 1) * time.Millisecond

// AboutTask makes a request about the task whose number that is: 20 bits of slot, 40 of generation.
func AboutTask(a Act, number uint64) Request {
	return Request(a) | Request(number&(1<<taskBits-1))<<actBits
}

// AboutWorker makes a request about a worker, by its incarnation, so that its successor is not meant. Two that ask the same have different nonces, if
// they are to have an answer each.
func AboutWorker(a Act, incarnation uint32, length time.Duration, nonce uint16) Request {
	operand := uint64(incarnation&(1<<incarnationBits-1))<<(lengthBits+nonceBits) |
		uint64(min(max(length, 0), LongestProfile)/time.Millisecond)<<nonceBits | uint64(nonce)
	return AboutTask(a, operand)
}

// Act is what is asked for or answered.
func (r Request) Act() Act { return Act(r & (1<<actBits - 1)) }

// Task is the number of the task that is meant.
func (r Request) Task() uint64 { return uint64(r >> actBits) }

// Incarnation is that of the worker that is meant.
func (r Request) Incarnation() uint32 { return uint32(r >> (actBits + lengthBits + nonceBits)) }

// Length is how long a profile is to take.
func (r Request) Length() time.Duration {
	return time.Duration(r>>(actBits+nonceBits)&(1<<lengthBits-1)) * time.Millisecond
}

// IsAnswer reports whether the parent has written it, as far as can be told.
func (r Request) IsAnswer() bool { return r.Act() >= Done }

// Answer is the answer a to r.
func (r Request) Answer(a Act) Request { return r&^(1<<actBits-1) | Request(a) }

// Answers reports whether r is an answer to q.
func (r Request) Answers(q Request) bool { return r.IsAnswer() && r == q.Answer(r.Act()) }

// Requests is the word in which they stand.
type Requests struct{ word atomic.Uint64 }

// Look returns what stands there. Pairs with the CAS in Ask and Reply.
func (w *Requests) Look() Request { return Request(w.word.Load()) }

// Ask puts r in the place of was, which is 0 or an answer that nobody has fetched. It reports whether nobody was faster.
func (w *Requests) Ask(was, r Request) bool {
	return w.word.CompareAndSwap(uint64(was), uint64(r)) // a full fence before the wake-up; pairs with the load in Pending
}

// Fetch takes away an answer, or a request that is not wanted any more. It reports whether it was still there.
func (w *Requests) Fetch(r Request) bool { return w.word.CompareAndSwap(uint64(r), 0) }

// Pending returns the request to be served, if there is one. It is the parent's, who has announced before that it sleeps.
func (w *Requests) Pending() (r Request, ok bool) {
	r = w.Look()
	return r, r != 0 && !r.IsAnswer()
}

// Reply puts the answer in the request's place. If that was withdrawn or is another's by now, nobody waits for it.
func (w *Requests) Reply(r Request, a Act) { w.word.CompareAndSwap(uint64(r), uint64(r.Answer(a))) }
