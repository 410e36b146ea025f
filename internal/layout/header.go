package layout

import (
	"errors"
	"fmt"
	"structs"
	"sync/atomic"
	"unsafe"
)

// Version is the version of everything that docs/LAYOUT.md describes. It changes
// with any of it: processes of different versions refuse each other's memory.
const Version = 2

// Kind says what a piece of shared memory holds.
type Kind uint32

// The kinds of structures that start with a [Header].
const (
	KindSegment Kind = iota + 1
	KindSPSC
	KindSemaphore
	KindPool
	KindArena
	KindPipe
	KindBroadcast
	KindMPMC
	KindQueue
	KindMutex
	KindRWMutex
	KindRobust // a semaphore that gives back what the dead held
	KindEvent
	KindCond
	KindBarrier
	KindOnce
	KindValue
	KindArray
)

func (k Kind) String() string {
	names := [...]string{"nothing", "segment", "SPSC ring", "semaphore", "pool", "arena", "pipe", "broadcast ring", "MPMC ring", "queue",
		"mutex", "RWMutex", "robust semaphore", "event", "condition variable", "barrier", "once", "value", "array"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("unknown kind %d", uint32(k))
}

// Magic opens every structure: "shmkit" and two bytes that no text has.
const Magic = 0x00ff_7469_6b6d_6873

// HeaderSize is the size of a [Header]: the first line of a structure.
const HeaderSize = 64

// A Header stands at the start of every structure in shared memory. It is written
// once, by the creator, whose last store is the magic; everyone who attaches checks
// all of it.
type Header struct {
	_      structs.HostLayout
	magic  atomic.Uint64 // release store in Init; pairs with the load in Check
	ver    uint32
	kind   Kind
	size   uint64
	params [5]uint64 // the structure's own: capacities, fingerprints
}

var _ [HeaderSize - unsafe.Sizeof(Header{})]byte
var _ [unsafe.Sizeof(Header{}) - HeaderSize]byte

// What can be wrong with a header.
var (
	ErrNotShmkit = errors.New("not a shmkit structure, or not yet complete")
	ErrVersion   = errors.New("another layout version")
	ErrKind      = errors.New("another kind of structure")
	ErrSize      = errors.New("another size")
	ErrParams    = errors.New("other parameters")
)

// Init writes the header of a new structure of kind at the start of mem. All else
// in mem that a reader relies on must have been written before. It panics if there are
// more params than a header holds.
func Init(mem []byte, kind Kind, params ...uint64) error {
	if len(params) > len(Header{}.params) {
		panic(fmt.Sprintf("layout: %d parameters, a header holds %d", len(params), len(Header{}.params)))
	}
	h, err := At[Header](mem, 0)
	if err != nil {
		return err
	}
	h.ver, h.kind, h.size = Version, kind, uint64(len(mem))
	h.params = [5]uint64{}
	copy(h.params[:], params)
	h.magic.Store(Magic)
	return nil
}

// Check returns the parameters of the structure at the start of mem, or an error if
// it is not one of kind that fills mem. Its words are loaded once each, so that
// a hostile writer cannot change them between check and use.
func Check(mem []byte, kind Kind) (params [5]uint64, err error) {
	return CheckFront(mem, int64(len(mem)), kind)
}

// CheckFront is Check for mem that is the front of whole bytes.
func CheckFront(mem []byte, whole int64, kind Kind) (params [5]uint64, err error) {
	h, err := At[Header](mem, 0)
	if err != nil {
		return params, err
	}
	if magic := h.magic.Load(); magic != Magic {
		return params, fmt.Errorf("attach %v: magic %#x: %w", kind, magic, ErrNotShmkit)
	}
	ver, got, size := h.ver, h.kind, h.size
	switch {
	case ver != Version:
		return params, fmt.Errorf("attach %v: version %d, this program has %d: %w", kind, ver, Version, ErrVersion)
	case got != kind:
		return params, fmt.Errorf("attach %v: it is a %v: %w", kind, got, ErrKind)
	case size != uint64(whole):
		return params, fmt.Errorf("attach %v: made with %d bytes, memory has %d: %w", kind, size, whole, ErrSize)
	}
	return h.params, nil
}
