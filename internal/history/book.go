package history

import (
	"math/rand/v2"
	"structs"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// A Book is where the processes of a test note what they do, each on pages of its own. In and Out are what operations are called
// with and return: they lie in shared memory, so they are free of pointers.
type Book[In, Out any] struct {
	ctl   *control
	desks []desk
	pages [][]line[In, Out]
}

// control is written by all.
type control struct {
	_     structs.HostLayout
	clock atomic.Uint64
	_     [layout.Line - 8]byte

	// round is the one that is on: raised by the test in Begin, pairs with the load in Rounds.
	round atomic.Uint32
	_     [layout.Line - 4]byte
}

// A desk is what one process says of itself: the round to which it has come, and the one that it has ended. Pairs with the loads in
// Rounds and Await.
type desk struct {
	_          structs.HostLayout
	here, done atomic.Uint32
	_          [layout.Line - 8]byte
}

// A line is one operation. What is plain is written by its process before the atomic behind it, and read by the test when that
// process has ended the round or was killed.
type line[In, Out any] struct {
	in       In
	call     atomic.Uint64 // 0: not called
	out      Out
	returned atomic.Uint64 // 0: not returned
}

// Size bounds the bytes of a book for so many processes that do so many operations a round, each no larger than 128 bytes.
func Size(processes, operations int) int64 {
	return layout.Line * int64(2+processes+processes*operations)
}

// Open returns the book in mem, which all processes share. Zeroed memory is an empty one.
func Open[In, Out any](mem []byte, processes, operations int) (*Book[In, Out], error) {
	b := &Book[In, Out]{pages: make([][]line[In, Out], processes)}
	var err error
	if b.ctl, err = layout.At[control](mem, 0); err != nil {
		return nil, err
	}
	if b.desks, err = layout.Slice[desk](mem, 2*layout.Line, processes); err != nil {
		return nil, err
	}
	at := int64(layout.Line * (2 + processes))
	for i := range b.pages {
		if b.pages[i], err = layout.Slice[line[In, Out]](mem, at, operations); err != nil {
			return nil, err
		}
		at += int64(layout.Line * operations)
	}
	return b, nil
}

// Begin starts the next round on empty pages and returns its number: 1, 2, 3 and so on. No process may be in one.
func (b *Book[In, Out]) Begin() (round int) {
	for _, page := range b.pages {
		clear(page)
	}
	b.ctl.clock.Store(0)
	return int(b.ctl.round.Add(1))
}

// Await waits until a process has ended the round.
func (b *Book[In, Out]) Await(process int) {
	wait(func() bool { return b.desks[process].done.Load() == b.ctl.round.Load() })
}

// Killed says that a process has ended in the round: whoever takes its place begins with the next.
func (b *Book[In, Out]) Killed(process int) { b.desks[process].done.Store(b.ctl.round.Load()) }

// Rounds plays a process's part of each round, all processes at the same time. It does not return.
func (b *Book[In, Out]) Rounds(process int, play func(round int, s *Scribe[In, Out])) {
	own := &b.desks[process]
	for round := own.done.Load() + 1; ; round++ {
		wait(func() bool { return b.ctl.round.Load() == round })
		own.here.Store(round)
		for i := range b.desks {
			// One who has nothing to do in this round, such as the test, never comes.
			wait(func() bool { return b.desks[i].here.Load() == round || b.desks[i].here.Load() == 0 })
		}
		play(int(round), b.Scribe(process))
		own.done.Store(round)
	}
}

// Scribe returns a process's hand for this round.
func (b *Book[In, Out]) Scribe(process int) *Scribe[In, Out] {
	return &Scribe[In, Out]{clock: &b.ctl.clock, page: b.pages[process]}
}

// A Scribe notes the operations of one process, one after the other.
type Scribe[In, Out any] struct {
	clock *atomic.Uint64
	page  []line[In, Out] // what is left of it
}

// Full reports whether there is room for no more than so many operations.
func (s *Scribe[In, Out]) Full(spare int) bool { return len(s.page) <= spare }

// Now returns this moment, by the book's clock: no operation is called or returns in the same. Any goroutine may ask.
func (s *Scribe[In, Out]) Now() int64 { return int64(s.clock.Add(1)) }

// Do does an operation and notes it. Now and then it lets others overtake it: between operations, and within.
func (s *Scribe[In, Out]) Do(in In, operation func() Out) Out {
	l := &s.page[0]
	s.page = s.page[1:]
	dawdle(8)
	l.in = in
	l.call.Store(s.clock.Add(1))
	dawdle(16)
	l.out = operation()
	dawdle(16)
	l.returned.Store(s.clock.Add(1))
	return l.out
}

var never atomic.Uint32

// nap is for how long others have the CPU.
const nap = 20 * time.Microsecond

// dawdle gives the CPU away once in so many calls, and more often wastes it.
func dawdle(seldom int) {
	switch rand.IntN(seldom) {
	case 0:
		sys.FutexWait(&never, 0, nap)
	case 1, 2, 3:
		sys.Pause(1 + rand.Uint32N(200))
	}
}

// wait waits for another process. Where it waits for one that has no CPU it gives its own away.
func wait(until func() bool) {
	begun := time.Now()
	for turn := 1; !until(); turn++ {
		if turn%256 != 0 {
			sys.Pause(1)
			continue
		}
		if time.Since(begun) > patience {
			panic("history: nothing came from the other processes for " + patience.String())
		}
		sys.FutexWait(&never, 0, nap)
	}
}
