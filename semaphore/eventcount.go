package semaphore

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// Step is how long those who wait for shared objects sleep at most before they look
// for themselves. It is what a wake-up costs whose sender was killed, or whose
// receiver was.
const Step = 50 * time.Millisecond

// The word of an eventcount: bit 0 says that somebody may wait, the other 31
// bits are a sequence number. Every value of the word is a valid one.
const (
	waiting = 1 // bit 0: set by those who go to sleep, cleared by those who wake all
	bump    = 2 // one step of the sequence: taken by those who wake, never by sleepers
)

// An Eventcount lets one party sleep until another has changed something, without a
// system call by the other while nobody sleeps. It is a handle on one 32-bit word in
// shared memory, zero at first; handles are values and may be copied, and all their
// methods may be used by any number of goroutines and processes at once.
//
// The sleeper announces itself, looks at its condition again, and sleeps:
//
//	for !condition() {
//		ticket := e.Announce()
//		if condition() {
//			break
//		}
//		e.Sleep(ticket, semaphore.Step)
//	}
//
// The waker changes the condition and then calls Notify or NotifyAll. The change must
// end with a sequentially consistent operation of sync/atomic (any will do:
// Store, Add, CompareAndSwap); a plain or release store may still be invisible when
// Notify looks for sleepers, and then nobody is woken.
//
// # Why nobody sleeps through a change
//
// All operations on the word and the last one of the change have one total order.
// Take a sleeper S and a waker W:
//
//	S1 Announce: see or set bit 0    W1 change the condition
//	S2 look at the condition         W2 load the word, stop if bit 0 is clear
//	S3 FUTEX_WAIT on what S1 saw     W3 advance the sequence
//	                                 W4 FUTEX_WAKE
//
// W2 sees bit 0 clear: either before S1, then W1 is before S2, which sees the change.
// Or somebody else cleared it after S1, and that CAS advanced the sequence: S3
// refuses, or S slept already and is woken by the FUTEX_WAKE that follows every clearing.
// W2 sees it set: W3 before S1 has W1 before S2 again. W3 after S1 makes S3
// refuse if it comes later, and W4 meets a sleeper if it came earlier.
//
// # Killed between any two steps
//
//   - S after S1: bit 0 stays set for nobody. The next waker makes two useless system
//     calls, finds nobody and clears it.
//   - S asleep: the kernel takes it off the list.
//   - S after it was woken: a wake-up meant for one of several is lost with it. The
//     others look for themselves within [Step].
//   - W after W1: the change is there and sleepers were not told: [Step] again.
//   - W after W3 in Notify: bit 0 is still set, so the next waker wakes as usual;
//     those whom W would have woken wait for that or for their [Step].
//   - W after W3 in NotifyAll, which cleared bit 0: sleepers remain of whom the word
//     tells nothing. They announce themselves anew after their [Step]. The same holds
//     for a W that is merely suspended there.
//
// # The wrap
//
// S3 could sleep through a change if the sequence came back to the value that S1 saw:
// after exactly 2^31 advances, or a multiple, between S1 and S3. Each goes with a
// system call, and they are serialised by the cache line: at 100 ns each that is more
// than three minutes in which S is runnable and not run, and then an exact hit. S
// would look for itself after [Step] even so.
//
// Eventcounts go back to Dmitry Vyukov's; that one word does for both number and
// sleepers' mark is usual with futexes.
type Eventcount struct {
	word    *atomic.Uint32
	fencing bool // those who sleep fence for those who wake
}

// EventcountOn returns a handle on the eventcount whose word is word.
func EventcountOn(word *atomic.Uint32) Eventcount { return Eventcount{word: word} }

// FencingEventcountOn is EventcountOn for changes that end with a store by
// sys.PublishStore64, which is much cheaper. An Announce costs a system call in return. All
// who use the word must use it so.
//
// W1 may then be seen by others after W2 was done. But S fences W's processor between S1
// and S2. If that comes before W2, W2 sees bit 0; if it comes after, W1 is seen by S2.
//
// The kernel may refuse that call. It may also leave out a processor on which W's process has run ever
// since before it was registered, with nothing but idleness in between (Linux 6.18 does). Then a change can be
// missed that comes in the same few nanoseconds as the Announce. It is seen soon after: so the first sleep after an
// Announce should be short, a millisecond or so. A Waitqueue sees to that.
func FencingEventcountOn(word *atomic.Uint32) Eventcount {
	return Eventcount{word: word, fencing: true}
}

// EventcountAt returns a handle on the eventcount in the first four bytes of mem,
// which must be aligned to four bytes and are zero in a new one.
func EventcountAt(mem []byte) (Eventcount, error) {
	if err := sys.CheckFutex(); err != nil {
		return Eventcount{}, fmt.Errorf("attach eventcount: %w", err)
	}
	word, err := layout.At[atomic.Uint32](mem, 0)
	if err != nil {
		return Eventcount{}, fmt.Errorf("attach eventcount: %w", err)
	}
	return Eventcount{word: word}, nil
}

// Announce says that the caller is about to sleep and returns the ticket to sleep
// with. The caller must look at its condition between Announce and Sleep. Nobody
// is harmed by an announcement that no sleep follows.
func (e Eventcount) Announce() (ticket uint32) {
	for {
		w := e.word.Load()                                          // pairs with the CAS in notify and NotifyAll: see S1
		if w&waiting == 0 && !e.word.CompareAndSwap(w, w|waiting) { // pairs with the load in Notify: see W2
			continue
		}
		if e.fencing {
			sys.FenceAll()
		}
		return w | waiting
	}
}

// Sleep blocks the calling thread until a Notify after the Announce that returned
// ticket, or for timeout (a negative one: without a bound), and reports whether the
// time ran out. It may return early for no reason: the caller looks at its condition.
//
// One who sleeps without a bound relies on another to call Rouse if the one who should
// have notified was killed: that one may have taken the mark away before, and then
// Notify and NotifyAll find nobody to wake.
func (e Eventcount) Sleep(ticket uint32, timeout time.Duration) (timedOut bool) {
	return sys.FutexWait(e.word, ticket, timeout)
}

// sleepAs is Sleep for one whom kick with the same bits can wake.
func (e Eventcount) sleepAs(ticket uint32, timeout time.Duration, bits uint32) (timedOut bool) {
	return sys.FutexWaitAs(e.word, ticket, timeout, bits)
}

// Notify wakes up to n of those who sleep, and keeps those from sleeping who have
// announced it. With n < 1 it does nothing. While nobody has announced itself it is
// one load.
func (e Eventcount) Notify(n int) {
	if n > 0 && e.word.Load()&waiting != 0 { // pairs with the CAS in Announce: see W2
		e.notify(n)
	}
}

func (e Eventcount) notify(n int) {
	// Bit 0 stays: there may be more than n. It is cleared below by whoever finds that
	// there were not.
	w, ok := e.advance(0)
	if !ok || sys.FutexWake(e.word, n) >= n {
		return
	}
	e.clear(w)
}

// clear clears bit 0 for one who advanced the word to w and then found nobody asleep.
// If the CAS succeeds, only those can sleep who announced themselves after that advance,
// and so looked after the change that it tells of; they must not stay asleep behind
// a clear bit, hence the second wake. If it fails, somebody advanced since; bit 0 is
// theirs to clear, or remains for the next.
func (e Eventcount) clear(w uint32) {
	if e.word.CompareAndSwap(w, (w+bump)&^waiting) {
		sys.FutexWake(e.word, sys.All)
	}
}

// NotifyAll wakes all who sleep, and keeps those from sleeping who have announced
// it. While nobody has announced itself it is one load.
func (e Eventcount) NotifyAll() {
	if e.word.Load()&waiting == 0 { // pairs with the CAS in Announce: see W2
		return
	}
	if _, ok := e.advance(waiting); ok {
		sys.FutexWake(e.word, sys.All)
	}
}

// Rouse is NotifyAll whatever the word says. It also wakes sleepers of whom that tells
// nothing, because a waker was killed, or is stopped, between its two steps in NotifyAll. It
// costs a system call even if nobody sleeps.
func (e Eventcount) Rouse() {
	for {
		w := e.word.Load()
		if e.word.CompareAndSwap(w, (w+bump)&^waiting) { // pairs with FUTEX_WAIT's look and with Announce: see W3
			break
		}
	}
	sys.FutexWake(e.word, sys.All)
}

// advance steps the sequence and clears the bits in unset, if bit 0 is set, and
// returns the new word. If it is not, somebody cleared it since the caller looked,
// and wakes all: ours among them, and they will see the change that our caller
// made before it looked.
func (e Eventcount) advance(unset uint32) (w uint32, ok bool) {
	for {
		w = e.word.Load()
		if w&waiting == 0 {
			return w, false
		}
		next := (w + bump) &^ unset
		if e.word.CompareAndSwap(w, next) { // pairs with FUTEX_WAIT's look and with Announce: see W3
			return next, true
		}
	}
}

// kick gets those out of sleepAs, or keeps them from it, who go by one of bits.
// Others sleep on, if they sleep already.
func (e Eventcount) kick(bits uint32) {
	e.word.Add(bump) // leaves bit 0 alone, at the wrap too; pairs with FUTEX_WAIT's look
	sys.FutexWakeAs(e.word, bits)
}
