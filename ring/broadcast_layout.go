package ring

import (
	"fmt"
	"math/bits"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// Limits of a broadcast ring.
const (
	maxBroadcastRecord  = 1 << 20
	maxBroadcastRecords = 1 << 30
)

// broadcastControl is what lies in front of a broadcast ring's slots. A test asserts its size and offsets.
//
// Positions count the records that were ever written; the one at position p lies in slot p modulo their number. They may wrap at 2^64.
type broadcastControl struct {
	_      structs.HostLayout
	header layout.Header // params: number of slots, bytes of a record
	_      [layout.Line - layout.HeaderSize]byte

	// tail is the position that is written next, or was just written: it follows the slot's tag. Stored by the writer alone; loaded
	// by readers and by the writer's successor.
	tail atomic.Uint64
	_    [layout.Line - 8]byte
}

const broadcastSlotsOff = 2 * layout.Line

var _ = layout.Sized[broadcastControl](broadcastSlotsOff)

// A slot is a tag and the words of a record. The tag for position p is twice p, modulo 2^64, while the record is being written, and one
// more once it is whole.
const (
	tagWords = 1
	isWhole  = 1
)

func tagOf(pos uint64) (busy uint64) { return pos << 1 }

// BroadcastSize returns the bytes of memory for a ring of that many records, rounded up to a power of two and at least 2, of size
// bytes each. A record takes its size, rounded up to a multiple of 8, and 8 more: one of up to 56 bytes fits into a cache line.
// BroadcastSize panics if a number is not positive, or more than 2^30 records or 1 MiB.
func BroadcastSize(records, size int) int64 {
	if err := checkBroadcast(records, size); err != nil {
		panic("ring: " + err.Error())
	}
	return broadcastSlotsOff + slotsFor(records)*8*int64(slotWords(size))
}

func checkBroadcast(records, size int) error {
	if records < 1 || records > maxBroadcastRecords || size < 1 || size > maxBroadcastRecord {
		return fmt.Errorf("broadcast of %d records of %d bytes: want 1 to %d of 1 to %d", records, size,
			maxBroadcastRecords, maxBroadcastRecord)
	}
	return nil
}

func slotsFor(records int) int64 { return 1 << bits.Len(uint(max(records, 2)-1)) }

func slotWords(size int) int { return tagWords + (size+7)/8 }

// InitBroadcast makes mem, whose length comes from [BroadcastSize], an empty ring. Nobody may use mem at the same time. It must be
// aligned to 8 bytes, and better is to 128.
func InitBroadcast(mem []byte, records, size int) error { return initBroadcast(mem, records, size, 0) }

// initBroadcast is InitBroadcast for a ring whose first record has position pos.
func initBroadcast(mem []byte, records, size int, pos uint64) error {
	if err := checkBroadcast(records, size); err != nil {
		return fmt.Errorf("init %w", err)
	}
	if want := BroadcastSize(records, size); int64(len(mem)) != want {
		return fmt.Errorf("init broadcast: memory of %d bytes, %d records of %d bytes take %d", len(mem), records, size, want)
	}
	b := broadcast{size: size}
	if err := b.view(mem, uint64(slotsFor(records))); err != nil {
		return fmt.Errorf("init broadcast: %w", err)
	}
	for i := range b.slots() {
		// As if records of a lap before were being written: no reader takes one for whole.
		b.slot(pos + i)[0].Store(tagOf(pos + i - b.slots()))
	}
	b.control.tail.Store(pos)
	if err := layout.Init(mem, layout.KindBroadcast, b.slots(), uint64(size)); err != nil {
		return fmt.Errorf("init broadcast: %w", err)
	}
	return nil
}

// broadcast is what writer and readers see of a ring.
type broadcast struct {
	control *broadcastControl
	words   []atomic.Uint64 // the slots
	mask    uint64          // their number less 1
	stride  uint64          // words of each
	size    int             // bytes of a record
}

func openBroadcast(mem []byte) (b broadcast, err error) {
	params, err := layout.Check(mem, layout.KindBroadcast)
	if err != nil {
		return b, err
	}
	slots, size := params[0], params[1]
	if slots < 2 || slots > maxBroadcastRecords || slots&(slots-1) != 0 || size < 1 || size > maxBroadcastRecord ||
		BroadcastSize(int(slots), int(size)) != int64(len(mem)) {
		return b, fmt.Errorf("broadcast of %d records of %d bytes in memory of %d: %w", slots, size, len(mem), layout.ErrParams)
	}
	b.size = int(size)
	return b, b.view(mem, slots)
}

// view makes b the ring of so many slots in mem, which has the right length.
func (b *broadcast) view(mem []byte, slots uint64) (err error) {
	b.mask, b.stride = slots-1, uint64(slotWords(b.size))
	if b.control, err = layout.At[broadcastControl](mem, 0); err != nil {
		return err
	}
	b.words, err = layout.Slice[atomic.Uint64](mem, broadcastSlotsOff, int(slots*b.stride))
	return err
}

func (b *broadcast) slots() uint64 { return b.mask + 1 }

// slot returns the tag and the record's words for a position.
func (b *broadcast) slot(pos uint64) []atomic.Uint64 {
	at := (pos & b.mask) * b.stride
	return b.words[at : at+b.stride]
}
