package ring

import (
	"fmt"
	"math/bits"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

// A pipe's capacity in bytes, in each direction.
const (
	minPipe     = 128 // pieces of a large message carry something besides their headers
	defaultPipe = 64 << 10
	maxPipe     = 1 << 30
)

// pipeControl is what lies in front of a pipe's rings. Ring d carries from end d to the other one; a pipe that is one way has
// ring 1 only. A test asserts its size and offsets.
type pipeControl struct {
	_      structs.HostLayout
	header layout.Header // params: capacity of each ring, how many there are; 4: see owner.Init
	_      [layout.Line - layout.HeaderSize]byte
	ends   [2]pipeEndWords

	// Eventcounts of direction d. They lie on one line because it changes only when somebody goes to sleep.
	bells [2]pipeBells
	_     [layout.Line - 16]byte
}

// pipeBells are the eventcounts of one direction.
type pipeBells struct {
	_      structs.HostLayout
	filled atomic.Uint32 // who receives sleeps here until there is something to receive
	room   atomic.Uint32 // who sends sleeps here until there is room
}

// pipeEndWords are what the two sides know of one end.
type pipeEndWords struct {
	_ structs.HostLayout
	// holder says whose the end is: see holding. CASed by the holder itself (Close, Share), by who adopts the end, and by who has
	// proof that the holder has ended; loaded by the other end before it sends, and before it waits.
	holder atomic.Uint64
	// giver is the owner.ID of the process that gave the end away. It means something only while holder is a ticket, and is
	// stored before that.
	giver atomic.Uint64
	// tickets counts those that were issued for this end.
	tickets atomic.Uint64
	_       [layout.Line - 24]byte

	// Words for full fences: stored by the end's holder alone between its release store to a ring and its look at the other side's
	// eventcount. They count its records, and its releases.
	sent  atomic.Uint64
	_     [layout.Line - 8]byte
	taken atomic.Uint64
	_     [layout.Line - 8]byte
}

const pipeControlSize = 8 * layout.Line

var _ = layout.Sized[pipeControl](pipeControlSize)

// A holding is a value of pipeEndWords.holder:
//
//	an owner.ID           that process has the end
//	a ticket              the end is on its way; who shows this ticket may have it
//	closedEnd             nobody has it any more
//
// The low bits of an ID are a pid, which is never 0; those of the others are 0.
type holding uint64

const (
	notPidShift         = 22
	closedEnd   holding = 1 << notPidShift
)

// ticketOf returns ticket number n of an end, n > 0. They do not come again: there are 2^42.
func ticketOf(n uint64) holding { return holding(n+1) << notPidShift }

func (h holding) isTicket() bool { return owner.ID(h).Pid() == 0 && h != closedEnd }

// pipeSize returns the bytes of a pipe with so many rings, and the capacity of each: a power of two.
func pipeSize(capacity, rings int) (size int64, each int) {
	each = 1 << bits.Len(uint(max(capacity, minPipe)-1))
	return pipeControlSize + int64(rings*SPSCSize(each)), each
}

// initPipe makes mem a pipe whose ends are both held by self, and whose rings begin at pos.
func initPipe(mem []byte, capacity, rings int, self owner.ID, pos uint64) error {
	size, each := pipeSize(capacity, rings)
	if int64(len(mem)) != size {
		return fmt.Errorf("init pipe: memory of %d bytes, a pipe of capacity %d takes %d", len(mem), capacity, size)
	}
	control, err := layout.At[pipeControl](mem, 0)
	if err != nil {
		return fmt.Errorf("init pipe: %w", err)
	}
	for i := range rings {
		if err := initSPSC(ringOf(mem, each, i), pos); err != nil {
			return fmt.Errorf("init pipe: %w", err)
		}
	}
	for i := range control.ends {
		control.ends[i].holder.Store(uint64(self))
	}
	return owner.Init(mem, layout.KindPipe, uint64(each), uint64(rings))
}

// ringOf returns the memory of ring number i of those that there are.
func ringOf(mem []byte, each, i int) []byte {
	size := SPSCSize(each)
	at := pipeControlSize + i*size
	return mem[at:][:size:size]
}

// A pipeMem is a pipe in memory that was checked.
type pipeMem struct {
	control *pipeControl
	rings   [2][]byte // by direction; nil: there is none
}

func openPipe(mem []byte) (m pipeMem, err error) {
	params, err := owner.Check(mem, layout.KindPipe)
	if err != nil {
		return m, err
	}
	capacity, rings := params[0], params[1]
	if capacity < minPipe || capacity > maxPipe || rings < 1 || rings > 2 {
		return m, fmt.Errorf("pipe of %d rings of %d bytes: %w", rings, capacity, layout.ErrParams)
	}
	size, each := pipeSize(int(capacity), int(rings))
	if uint64(each) != capacity || size != int64(len(mem)) {
		return m, fmt.Errorf("pipe of %d rings of %d bytes in memory of %d: %w", rings, capacity, len(mem), layout.ErrParams)
	}
	if m.control, err = layout.At[pipeControl](mem, 0); err != nil {
		return m, err
	}
	m.rings[1] = ringOf(mem, each, int(rings)-1)
	if rings == 2 {
		m.rings[0] = ringOf(mem, each, 0)
	}
	return m, nil
}

// bellsOf returns the eventcounts of direction d.
func (m *pipeMem) bellsOf(d int) (filled, room semaphore.Eventcount) {
	b := &m.control.bells[d]
	return semaphore.EventcountOn(&b.filled), semaphore.EventcountOn(&b.room)
}

// ringAll has everybody look who sleeps on either side, after a change of a holder. Those too behind whom a waker was killed: they sleep
// without a bound, and may hear of nothing else any more.
func (m *pipeMem) ringAll() {
	for d := range m.control.bells {
		filled, room := m.bellsOf(d)
		filled.Rouse()
		room.Rouse()
	}
}
