package ring

import (
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// spscControl is what lies in front of an SPSC ring's storage. A test asserts its
// size and offsets.
//
// Positions count the bytes that ever passed, records' headers and padding included;
// position p lies in the storage at p modulo its size. They are multiples of 8 and may
// wrap at 2^64. There is no tail: the records themselves tell where they end.
type spscControl struct {
	_      structs.HostLayout
	header layout.Header // params: size of the storage
	_      [layout.Line - layout.HeaderSize]byte

	// The consumer's line: written by the consumer alone.

	// head is the position of a header, or of the 0 where the next header will be.
	// Everything before it is the producer's to overwrite. It only grows, and never
	// past what was published. Stored in Consumer.Release, loaded in Producer.refresh
	// and by whoever attaches.
	head atomic.Uint64
	// taken, if it lies inside the run of records whose header is at head, is the
	// position up to which that run's records were released. Otherwise it is a
	// leftover of an earlier run, before or at head. Stored in Consumer.Release;
	// loaded by a consumer's successor only.
	taken atomic.Uint64
	_     [layout.Line - 16]byte
}

// storageOff is where the storage starts: the size of spscControl.
const storageOff = 2 * layout.Line

// A header is the 8-byte word in front of the payload of one record or of a run of
// records of equal size, which lie behind it without gaps:
//
//	bits  0-39  payload in bytes + 1
//	bits 40-62  size of each record of a run in units of 8 bytes, 0: a single record
//	bit  63     padding up to the end of the storage, no record
//
// 0 is "not published yet". The payload is rounded up to whole words.
type header uint64

const (
	wordSize = 8 // of a header, and what payloads are rounded up to

	eachShift = 40
	padding   = header(1) << 63

	maxEach = (1<<(63-eachShift) - 1) * wordSize
)

// payload returns the header of a single record or, with each not 0, of a run that
// starts with one. Adding n to it adds n bytes to the payload.
func payload(n, each int) header {
	return header(n+1) | header(each/wordSize)<<eachShift
}

func (h header) size() int       { return int(h&(1<<eachShift-1)) - 1 }
func (h header) each() int       { return int(h&^padding>>eachShift) * wordSize }
func (h header) isPadding() bool { return h&padding != 0 }

// span is the number of bytes that the header and its payload take.
func (h header) span() int { return wordSize + layout.Align(h.size(), wordSize) }

// validAt reports whether h can be the header of something that lies at off in a
// storage of size bytes. It says nothing about the sizes within a run.
func (h header) validAt(off, size int) bool {
	rest := size - off - wordSize // both are whole words: what fits, fits rounded up
	return uint(h.size()) <= uint(rest) && (!h.isPadding() || h.size() == rest)
}
