package semaphore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// A Barrier lets a fixed number of parties, goroutines of any processes, wait until all of them have come: then all go on, and the next round
// begins. What each did before its [Barrier.Wait] is seen by all after theirs.
//
// It breaks when not all can come any more: when a process dies in Wait, when the context of one that waits ends, and by
// [Barrier.Abort]. All who wait, and all who come, get [ErrBroken] then, until [Barrier.Reset]. A round that has passed stays so: who
// wakes up late, when the barrier is in a later round, or broken, or was reset, is told what became of its own. A process that is
// stopped in Wait is not dead, and is waited for.
//
// A process that dies elsewhere is not known to be a party, and does not break it. Who waits for one bounds the wait by a context.
//
// A Barrier value is one process's handle, made by [NewBarrier], [NewBarrierAt] or [AttachBarrier]. All methods may be called by any
// number of goroutines; it must not be copied. There can be [Seats] handles at a time.
type Barrier struct {
	body    *barrierBody
	parties int // a private copy
	home    home
	table   table
	queue   Waitqueue

	mu     sync.Mutex
	rounds []*awaited // rounds in which goroutines of this handle wait; somebody serves them while there are any
	server sync.WaitGroup
	inside int       // goroutines that wait, until they do not use the memory any more
	left   sync.Cond // with mu: nobody is inside
}

// An arrival is what somebody has seen who was counted in: how far the barrier was, before, and how many resets there had been.
type arrival struct {
	word   barrierWord
	resets uint64
}

// sameRound reports whether both came in one round.
func (a arrival) sameRound(b arrival) bool {
	return a.word.round() == b.word.round() && a.resets == b.resets
}

// An awaited round is one in which somebody of this process waits.
type awaited struct {
	arrival               // of the first
	ended   chan struct{} // closed when it has
	err     error         // what became of it: nil if it has passed; written before
}

// NewBarrier makes a barrier for that many parties, 1 to [MaxParties], in memory that it shares with other small objects of this process, and
// returns a handle on it. The caller closes the handle. Child processes get it as a part of their arguments: see package process.
func NewBarrier(parties int) (*Barrier, error) {
	b := new(Barrier)
	if err := b.home.settle("barrier", BarrierSize, func(mem []byte) error { return b.make(mem, parties) }); err != nil {
		return nil, err
	}
	return b, nil
}

// NewBarrierAt makes a barrier in the first [BarrierSize] bytes of mem and returns a handle on it. Nobody else may use those bytes yet; they must
// be aligned to 8 bytes, and better lie at the start of a cache line.
func NewBarrierAt(mem []byte, parties int) (*Barrier, error) {
	b := new(Barrier)
	if err := b.make(mem, parties); err != nil {
		return nil, err
	}
	return b, nil
}

// AttachBarrier returns a handle on the barrier that NewBarrierAt made at the start of mem, there or in another process. The
// error wraps [ErrNoSeat] if there are as many handles as there can be.
func AttachBarrier(mem []byte) (*Barrier, error) {
	b := new(Barrier)
	if err := b.attach(mem); err != nil {
		return nil, fmt.Errorf("attach barrier: %w", err)
	}
	return b, nil
}

func (b *Barrier) make(mem []byte, parties int) error {
	err := formatBarrier(mem, parties)
	if err == nil {
		err = b.attach(mem)
	}
	if err != nil {
		return fmt.Errorf("make barrier: %w", err)
	}
	return nil
}

func (b *Barrier) attach(mem []byte) (err error) {
	if err := sys.CheckFutex(); err != nil {
		return err
	}
	if b.body, b.parties, err = joinBarrier(mem); err != nil {
		return err
	}
	b.queue.init()
	b.left.L = &b.mu
	if err := b.table.join(&b.body.roll, b.bury); err != nil {
		return err
	}
	b.eventcount().NotifyAll() // those who sleep watch this process from now on
	return nil
}

// Share returns what another process needs to have the barrier, for [Barrier.Adopt]. Package process calls it. The
// error wraps [os.ErrInvalid] if the barrier is one of NewBarrierAt or AttachBarrier, whose memory is not its own.
func (b *Barrier) Share() (f *os.File, data []byte, ended func(), err error) {
	return b.home.share("barrier")
}

// Adopt makes b, which is new(Barrier), a handle on the barrier that was shared. f stays the caller's.
func (b *Barrier) Adopt(f *os.File, data []byte) error {
	return b.home.adopt("barrier", f, data, b.attach)
}

// Parties returns for how many the barrier is.
func (b *Barrier) Parties() int { return b.parties }

// Waiting returns how many had arrived in this round a moment ago: 0 if it is broken.
func (b *Barrier) Waiting() int {
	if w := b.load(); !w.broken() {
		return min(w.count(), b.parties)
	}
	return 0
}

// Broken reports whether the barrier was broken a moment ago.
func (b *Barrier) Broken() bool { return b.load().broken() }

// Abort breaks the barrier, if it is not broken yet, for those who wait and those who come.
func (b *Barrier) Abort() {
	for w := b.load(); !w.broken(); w = b.load() {
		if b.end(w, w|brokenBit) {
			return
		}
	}
}

// Reset makes a broken barrier usable again, in a new round. If it is not broken and somebody waits, it breaks for those. Several
// that reset it at once do it once; but one that resets it when others have arrived in the new round breaks it for them: let
// one party do it, before the others come again.
//
// What became of a round is forgotten after 64 more resets: one who was stopped in Wait for so long gets ErrBroken.
func (b *Barrier) Reset() {
	for {
		w := b.load()
		if !w.broken() && w.count() == 0 {
			return
		}
		if !w.broken() {
			b.end(w, w|brokenBit)
			continue
		}
		// Killed before the second CAS: it is still broken. Of several who are here one succeeds, and the others need not.
		if b.note(w) && b.raise(w) {
			b.end(w, w.reset())
		}
		return
	}
}

// note writes where w's epoch ended: at w, which is broken. It reports false if the word is not w any more.
func (b *Barrier) note(w barrierWord) (ok bool) {
	end := &b.body.ends[w.epoch()%rememberedResets]
	for {
		was := end.Load()
		if was == uint64(w) {
			return true
		}
		// The entry was loaded before: if the word is w still, the entry was that of an older epoch, and the CAS fails if it
		// is not any more.
		if b.load() != w {
			return false
		}
		if end.CompareAndSwap(was, uint64(w)) { // pairs with the load in fate
			return true
		}
	}
}

// raise counts the reset of w, once, whoever does it. It reports false if the word is not w any more.
func (b *Barrier) raise(w barrierWord) (ok bool) {
	was := b.body.resets.Load()
	if b.load() != w {
		return false
	}
	// If the word is w still, so was it when resets was loaded, and resets is w's epoch or the next. Whoever comes late, when the word is another, finds
	// that it was raised.
	if next := was + (w.epoch()+1-was)&epochMask; next != was {
		b.body.resets.CompareAndSwap(was, next) // pairs with the loads in resetsAt and fate
	}
	return true
}

// resetsAt returns how many resets there were before w's epoch, if w is the word.
func (b *Barrier) resetsAt(w barrierWord) (n uint64, ok bool) {
	n = b.body.resets.Load() // pairs with the compare-and-swap in raise
	ahead := (n - w.epoch()) & epochMask
	return n - ahead, ahead <= 1
}

// end replaces w by a word of which those must know who wait.
func (b *Barrier) end(w, next barrierWord) (ok bool) {
	if !b.body.word.CompareAndSwap(uint64(w), uint64(next)) { // pairs with the load in load
		return false
	}
	// Killed here: those who wait notice within Step.
	b.eventcount().NotifyAll()
	return true
}

func (b *Barrier) load() barrierWord { return barrierWord(b.body.word.Load()) }

func (b *Barrier) eventcount() Eventcount { return EventcountOn(&b.body.changed) }

// bury breaks the round in which the dead owner of seat i waited, if it has not ended.
func (b *Barrier) bury(i int, dead owner.ID) {
	for {
		w := b.load()
		mark := b.table.seats[i].count.Load() // pairs with the store in arrive
		if !b.table.isOf(i, dead) || mark != markOf(w) || w.broken() || b.end(w, w|brokenBit) {
			return
		}
	}
}

// Close gives the handle up and, unless it is the caller's, the memory. It waits until no goroutine waits on this handle any
// more. No other call may follow or be in progress, except one that waits. Other handles are not concerned.
func (b *Barrier) Close() error {
	b.mu.Lock() // without which nobody arrives
	for b.inside > 0 {
		b.left.Wait()
	}
	b.mu.Unlock()
	b.server.Wait()
	b.queue.Drain()
	if err := b.table.leave(); err != nil {
		return errors.Join(fmt.Errorf("close barrier: %w", err), b.home.close("barrier"))
	}
	return b.home.close("barrier")
}

// Wait arrives at the barrier and waits until all parties have. It returns how many had arrived before: each of 0 to Parties-1 is one
// party's, so that one of them can do what has to be done once.
//
// The error is [ErrBroken] if the barrier is broken, or breaks before all have come; ctx's if that ends before: this breaks the barrier,
// because the others wait for one that has given up, and so does a ctx that has ended before the call; and an [ErrCorrupted]. If
// all have come just as ctx ends, it returns as if ctx had not.
func (b *Barrier) Wait(ctx context.Context) (index int, err error) {
	if err := ctx.Err(); err != nil {
		b.Abort()
		return 0, err
	}
	b.table.mind() // also who comes last is told of one that has died while nobody else waited
	// The lock in join and in serve tells the race detector what this orders.
	round, index, err := b.join()
	if round != nil {
		err = b.await(ctx, round)
		b.exit()
	}
	if err != nil {
		return 0, err
	}
	return index, nil
}
