package semaphore

import (
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// CondSize is how many bytes of shared memory a [Cond] takes.
const CondSize = layout.Line + rollSize + Seats*placeSize

const (
	rollSize  = layout.Line + Seats*layout.Line
	placeSize = 16
)

// condBody is a Cond in shared memory.
type condBody struct {
	_      structs.HostLayout
	header layout.Header // parameter 4: see owner.Init

	// top is behind the last place that ever was somebody's: raised by who takes a seat, never lowered.
	top atomic.Uint32

	// turn is the place that is asked first when somebody is signalled: one behind that of the last. A hint.
	turn atomic.Uint32

	_ [layout.Line - layout.HeaderSize - 8]byte

	roll   roll
	places [Seats]place // those of the seats
}

var _ = layout.Sized[condBody](CondSize)

// A place is where one handle's waiters are counted, and told.
type place struct {
	_ structs.HostLayout

	// tally changes by CAS alone:
	//
	//	one more waits               by the handle, whose caller holds the lock
	//	some who wait are signalled  by who signals, in any process
	//	one signalled has gone       by the handle, when that one has the lock
	//	one who waits has gone       by the handle, when its context has ended
	//	nobody waits any more        by who buries the dead
	//	one signalled has gone       by the same, after it has signalled another
	tally atomic.Uint64

	bell atomic.Uint32 // eventcount, notified after somebody was signalled
	_    [4]byte
}

var _ = layout.Sized[place](placeSize)

// A tally is the word of a place. Its lowest 20 bits count those who wait, the next 20 those who were signalled and do not have
// the lock yet. The rest counts changes: who comes late with what it saw of a process that has died since does not meet
// the same word again in its successor's, unless 2^24 changes came between.
type tally uint64

const (
	tallyBits = 20
	maxTally  = 1<<tallyBits - 1 // waiters of one handle
)

func (t tally) waiting() uint64   { return uint64(t) & maxTally }
func (t tally) signalled() uint64 { return uint64(t) >> tallyBits & maxTally }

// with returns the tally after t with other counts.
func (t tally) with(waiting, signalled uint64) tally {
	changes := uint64(t)>>(2*tallyBits) + 1
	return tally(changes<<(2*tallyBits) | min(signalled, maxTally)<<tallyBits | waiting)
}

func (p *place) load() tally { return tally(p.tally.Load()) } // pairs with the CAS in swap

func (p *place) swap(was, next tally) bool {
	return p.tally.CompareAndSwap(uint64(was), uint64(next)) // pairs with the load in load, of all parties
}

// formatCond makes the first bytes of mem a condition variable for which nobody waits.
func formatCond(mem []byte) error {
	if _, err := condAt(mem); err != nil {
		return err
	}
	clear(mem[layout.HeaderSize:CondSize])
	return owner.Init(mem[:CondSize], layout.KindCond) // the magic is stored last
}

// joinCond returns the condition variable in the first bytes of mem.
func joinCond(mem []byte) (*condBody, error) {
	b, err := condAt(mem)
	if err != nil {
		return nil, err
	}
	_, err = owner.Check(mem[:CondSize], layout.KindCond)
	return b, err
}

func condAt(mem []byte) (*condBody, error) {
	if len(mem) < CondSize {
		return nil, fmt.Errorf("memory of %d bytes, a condition variable takes %d", len(mem), CondSize)
	}
	return layout.At[condBody](mem, 0)
}
