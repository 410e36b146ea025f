package semaphore

import (
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// RWMutexSize is how many bytes of shared memory an [RWMutex] takes.
const RWMutexSize = MutexSize + layout.Line + (1+Seats)*layout.Line

// rwBody is an RWMutex in shared memory.
type rwBody struct {
	_       structs.HostLayout
	header  layout.Header // parameter 4: see owner.Init
	writers lockWords     // one writer at a time
	gate    atomic.Uint64 // a gateWord; written by who holds the writers' lock, and by nobody else

	// Eventcounts: opened is notified after the gate was opened, drained after a count of a seat has become less.
	opened, drained atomic.Uint32

	_ [layout.Line - 16]byte

	// Each handle has a seat, which counts its goroutines that have the read lock, or have registered for it: see readerCount.
	readers roll
}

var _ = layout.Sized[rwBody](RWMutexSize)

// A gateWord tells whether readers may enter. Bits 1 to 62 number the phases of readers, between which there is one writer each; bit 0, closed,
// says that a writer has come: it waits for the readers of this phase to leave, and then writes. So the next phase begins
// at the next even number. Every change is by who holds the writers' lock:
//
//	open, phase p   -> closed, phase p    a writer comes
//	closed, phase p -> open, phase p+1    it has written
//	closed, phase p -> open, phase p      it gives up before it has written, or has died
//
// Bit suspect is set with the last of these if the writer has died, and taken away by the next that has written.
type gateWord uint64

const (
	closed  = 1
	suspect = 1 << 63 // a writer has died, and none has written since
)

func (g gateWord) closed() bool  { return g&closed != 0 }
func (g gateWord) suspect() bool { return g&suspect != 0 }

// number orders gate words.
func (g gateWord) number() uint64 { return uint64(g &^ suspect) }

// inside is the phase of all readers who have the lock while the gate is g.
func (g gateWord) inside() uint64 { return g.number() >> 1 }

// next is the phase for which a reader registers who comes while the gate is g.
func (g gateWord) next() uint64 { return (g.number() + 1) >> 1 }

// A readerCount is the count of a seat: bits 0 to 19 for the readers of even phases, 20 to 39 for those of odd ones. Only two phases have readers
// at a time, one inside and one that waits. The rest is a number of its own for each handle that has the seat, one after the other:
// so no count of one is equal to one of another.
type readerCount uint64

const (
	countBits = 20
	countMask = 1<<countBits - 1

	// maxReaders is how many readers of one phase a handle may have. Each counts itself before it finds that there are too many, and so the
	// other half is for those who are between the two: each is a goroutine that was interrupted in these few instructions.
	maxReaders = 1 << (countBits - 1)
)

// one is a reader of a phase.
func one(phase uint64) uint64 { return 1 << (phase % 2 * countBits) }

// of returns how many readers of a phase there are.
func (c readerCount) of(phase uint64) uint64 { return uint64(c) >> (phase % 2 * countBits) & countMask }

// none is the count of the same handle without readers.
func (c readerCount) none() readerCount { return c &^ (1<<(2*countBits) - 1) }

// formatRWMutex makes the first bytes of mem a free lock.
func formatRWMutex(mem []byte) error {
	if _, err := rwMutexIn(mem); err != nil {
		return err
	}
	clear(mem[:RWMutexSize])                                 // nobody else has it yet
	return owner.Init(mem[:RWMutexSize], layout.KindRWMutex) // the magic is stored last
}

// joinRWMutex returns the lock in the first bytes of mem.
func joinRWMutex(mem []byte) (*rwBody, error) {
	b, err := rwMutexIn(mem)
	if err != nil {
		return nil, err
	}
	_, err = owner.Check(mem[:RWMutexSize], layout.KindRWMutex)
	return b, err
}

func rwMutexIn(mem []byte) (*rwBody, error) {
	if len(mem) < RWMutexSize {
		return nil, fmt.Errorf("memory of %d bytes, an RWMutex takes %d", len(mem), RWMutexSize)
	}
	return layout.At[rwBody](mem, 0)
}
