package ring

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// Limits of an SPSC ring's capacity, in bytes.
const (
	minCapacity = 32 // one record of a word, its header and the 0 behind it
	maxCapacity = 1 << 39
)

// SPSCSize returns the size in bytes of the memory for an SPSC ring of the given
// capacity. The capacity is rounded up to a power of two, at least 32.
//
// A record takes 8 bytes and its length, rounded up to a multiple of 8; records of
// equal size, a multiple of 8, that are committed together share those 8 bytes. 8
// bytes of the capacity always stay free, and a record is never split at the end of
// the storage. The largest record is half the capacity less 8 bytes. SPSCSize
// panics if capacity is negative or more than 512 GiB.
func SPSCSize(capacity int) int {
	if capacity < 0 || capacity > maxCapacity {
		panic(fmt.Sprintf("ring: SPSC capacity %d is not between 0 and %d", capacity, maxCapacity))
	}
	return storageOff + 1<<bits.Len(uint(max(capacity, minCapacity)-1))
}

// InitSPSC makes mem, whose length comes from [SPSCSize], an empty ring. Nobody may
// use mem at the same time. It should be aligned to 128 bytes, and must be to 8.
func InitSPSC(mem []byte) error { return initSPSC(mem, 0) }

// initSPSC is InitSPSC for a ring whose first record has position pos.
func initSPSC(mem []byte, pos uint64) error {
	n := len(mem) - storageOff
	if n < minCapacity || n > maxCapacity || n&(n-1) != 0 {
		return fmt.Errorf("init SPSC ring: memory of %d bytes: take SPSCSize(capacity)", len(mem))
	}
	control, err := layout.At[spscControl](mem, 0)
	if err != nil {
		return fmt.Errorf("init SPSC ring: %w", err)
	}
	control.head.Store(pos)
	control.taken.Store(pos)
	// The 0 that the producer keeps at its tail. Plain: there is no consumer yet.
	binary.NativeEndian.PutUint64(mem[storageOff+pos&uint64(n-1):], 0)
	if err := layout.Init(mem, layout.KindSPSC, uint64(n)); err != nil {
		return fmt.Errorf("init SPSC ring: %w", err)
	}
	return nil
}

// spsc is what both sides see of a ring.
type spsc struct {
	control *spscControl
	data    []byte          // the storage
	words   []atomic.Uint64 // the same, for headers that both sides touch
	plain   []uint64        // the same, for those that only the producer touches yet
}

func openSPSC(mem []byte) (spsc, error) {
	params, err := layout.Check(mem, layout.KindSPSC)
	if err != nil {
		return spsc{}, err
	}
	n := len(mem) - storageOff
	if n < minCapacity || n > maxCapacity || n&(n-1) != 0 || params[0] != uint64(n) {
		return spsc{}, fmt.Errorf("capacity %d in memory of %d bytes: %w", params[0], len(mem), layout.ErrParams)
	}
	control, err := layout.At[spscControl](mem, 0)
	if err != nil {
		return spsc{}, err
	}
	words, err := layout.Slice[atomic.Uint64](mem, storageOff, n/wordSize)
	if err != nil {
		return spsc{}, err
	}
	plain, err := layout.Slice[uint64](mem, storageOff, n/wordSize)
	if err != nil {
		return spsc{}, err
	}
	return spsc{control: control, data: mem[storageOff:], words: words, plain: plain}, nil
}

// split divides a position into the position of the storage's start in this lap
// and the offset in the storage.
func (r *spsc) split(pos uint64) (base uint64, off int) {
	off = int(pos & uint64(len(r.data)-1))
	return pos - uint64(off), off
}

// room is how many bytes may lie between head and the end of the last record: the
// word behind it must be free for a 0.
func (r *spsc) room() uint64 { return uint64(len(r.data) - wordSize) }

// walk returns the producer's tail: it goes from header to header, from head to the first
// word that is 0. A consumer may move head meanwhile, but while there is no producer
// nobody overwrites what lies behind it.
func (r *spsc) walk(head uint64) (uint64, error) {
	if head%wordSize != 0 {
		return 0, fmt.Errorf("head %#x: %w", head, ErrCorrupted)
	}
	for pos := head; ; {
		_, off := r.split(pos)
		h := header(r.words[off/wordSize].Load()) // pairs with the store in Producer.Commit
		if h == 0 {
			return pos, nil
		}
		if !h.validAt(off, len(r.data)) || pos-head+uint64(h.span()) > r.room() {
			return 0, fmt.Errorf("header %#x at position %#x, head %#x: %w", uint64(h), pos, head, ErrCorrupted)
		}
		pos += uint64(h.span())
	}
}
