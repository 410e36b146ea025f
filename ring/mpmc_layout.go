package ring

import (
	"fmt"
	"math/bits"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// A slotWord is what a slot's word holds. It says something about the run of slots that begins there: of slots inside a run
// it says nothing, and nobody goes by it. From low to high: 2 bits of state, 6 bits of the run's length less 1,
// 10 bits of participant, and the lap in which it was written.
//
//	older laps  -> writing(p, n)   a producer claims n slots, the first of which is the ring's end
//	writing(p)  -> full(n)         the same, when the items are there
//	writing(p)  -> done(n)         the same, if the ring was closed; or who buries p
//	full(n)     -> reading(c, k)   a consumer claims the first k of them; before, it makes the next slot full(n-k)
//	reading(c)  -> done(k)         the same, when it has the items; or who buries c, where items of the dead are dropped
//	reading(c)  -> full(k)         who buries c, where they are given to others
//
// Who claims or buries does it by a compare-and-swap. Who has the slots hands them over by a store.
type slotWord uint64

type slotState uint8

const (
	slotWriting slotState = iota
	slotFull
	slotReading
	slotDone
)

const (
	runShift   = 2
	placeShift = runShift + 6
	lapShift   = placeShift + 10

	maxRun    = 1 << (placeShift - runShift) // slots that are claimed together
	maxPlaces = 1 << (lapShift - placeShift)
	maxSlots  = 1 << 24
)

func makeSlot(s slotState, lap uint64, place, n int) slotWord {
	return slotWord(s) | slotWord(n-1)<<runShift | slotWord(place)<<placeShift | slotWord(lap)<<lapShift
}

func (w slotWord) state() slotState { return slotState(w & (1<<runShift - 1)) }
func (w slotWord) run() int         { return int(w>>runShift&(maxRun-1)) + 1 }
func (w slotWord) place() int       { return int(w >> placeShift & (maxPlaces - 1)) }
func (w slotWord) lap() uint64      { return uint64(w >> lapShift) }

func (w slotWord) String() string {
	names := [...]string{"writing", "full", "reading", "done"}
	return fmt.Sprintf("%s, %d from here, by %d in lap %#x", names[w.state()], w.run(), w.place(), w.lap())
}

// mpmcControl is what lies before the slots. A test asserts its size and offsets.
//
// Positions count the slots that were ever claimed; position p lies at p modulo the number of slots, and the rest
// of p is its lap. They may wrap at 2^64. None of the three below is the truth, which stands in the slots' words: each is a
// lower bound, raised by anybody. free <= head and free <= tail always, and each is where a run begins.
type mpmcControl struct {
	_      structs.HostLayout
	header layout.Header // params: see mpmcShape

	// namespace is the PID namespace in which owners of places mean something: a queue has no parameter left for it. Written once, before the
	// header.
	namespace uint64

	_ [layout.Line - layout.HeaderSize - 8]byte

	tail atomic.Uint64 // what lies before was claimed by producers
	_    [layout.Line - 8]byte

	head atomic.Uint64 // what lies before was claimed by consumers
	_    [layout.Line - 8]byte

	free atomic.Uint64 // what lies before is done: its slots can be claimed again
	_    [layout.Line - 8]byte

	// Seldom written, and loaded by every operation.

	closed   atomic.Uint32 // not 0: nobody puts any more
	returned atomic.Uint32 // not 0: there may be full slots before head, which a dead consumer had claimed
	roster   atomic.Uint32 // raised when the table of participants changes

	// Eventcounts: notified when there are items, when there is room, when there is nothing left to do.
	items, room, idle atomic.Uint32

	holders atomic.Uint32 // how many numbers of holders of a queue's arena were given out
	memory  atomic.Uint32 // an eventcount: notified when a block of a queue's arena is free
	_       [layout.Line - 32]byte
}

var _ = layout.Sized[mpmcControl](5 * layout.Line)

// A place is a line of the table of participants.
type place struct {
	_ structs.HostLayout

	// owner is the process: its [owner.ID], or 0 for a place that nobody has, or left. With the bit burying it is the
	// process that sees to what a dead owner of the place has left. Every change is a compare-and-swap.
	owner atomic.Uint64

	// takes and dones count the items that the participant has taken and finished, of a joinable queue. Written by it alone, or by who buries it.
	takes, dones atomic.Uint64

	// Of a queue with an arena: the participant's number there, and those of others who began to bury one in this place when
	// they had none themselves, and died. 0 is none. What they have there goes to who buries next.
	holders [8]atomic.Uint32

	_ [layout.Line - 56]byte
}

var _ = layout.Sized[place](layout.Line)

const (
	burying = 1 << 63
	left    = 1<<22 - 1 // of one who has left, and whose arena is not reclaimed yet: the ID of no process
)

// mpmcShape is what the header says, and where things lie.
type mpmcShape struct {
	kind     layout.Kind
	capacity int    // parameter 0
	item     int    // parameter 1: bytes
	places   int    // parameter 2: participants in the lower half, the policy above, and then whether a queue counts for Join
	onDeath  Policy //
	joinable bool   //
	print    uint64 // parameter 3, of a queue: the fingerprint of its items
	arena    int64  // parameter 4, of a queue: bytes for large items

	slots, stride      int
	words, data, total int64
}

func shapeMPMC(kind layout.Kind, capacity, item, places int, onDeath Policy) (s mpmcShape, err error) {
	switch {
	case capacity < 1 || capacity > maxSlots:
		return s, fmt.Errorf("capacity %d is not between 1 and %d", capacity, maxSlots)
	case item < 1 || item > maxItem:
		return s, fmt.Errorf("items of %d bytes: not between 1 and %d", item, maxItem)
	case places < 1 || places > maxPlaces:
		return s, fmt.Errorf("%d participants: not between 1 and %d", places, maxPlaces)
	case onDeath > Drop:
		return s, fmt.Errorf("policy %d is neither Redeliver nor Drop", onDeath)
	}
	s = mpmcShape{kind: kind, capacity: capacity, item: item, places: places, onDeath: onDeath}
	s.slots = 1 << bits.Len(uint(capacity-1))
	s.stride = layout.Align(item, wordSize)
	s.words = int64(5+places) * layout.Line
	s.data = layout.Align(s.words+int64(s.slots)*wordSize, layout.Line)
	s.total = s.data + int64(s.slots)*int64(s.stride)
	return s, nil
}

const maxItem = 1 << 30

func (s *mpmcShape) params() []uint64 {
	use := uint64(s.places) | uint64(s.onDeath)<<policyShift
	if s.joinable {
		use |= 1 << joinableShift
	}
	return []uint64{uint64(s.capacity), uint64(s.item), use, s.print, uint64(s.arena)}
}

// Parts of parameter 2.
const (
	policyShift   = 32
	joinableShift = 48
)

// readShape checks the header of a ring that fills mem.
func readShape(mem []byte, kind layout.Kind) (s mpmcShape, err error) {
	p, err := layout.Check(mem, kind)
	if err != nil {
		return s, err
	}
	if s, err = shapeFrom(kind, p); err == nil && s.total != int64(len(mem)) {
		err = fmt.Errorf("parameters %#x do not fit memory of %d bytes: %w", p, len(mem), layout.ErrParams)
	}
	return s, err
}

// shapeFrom is the reverse of params.
func shapeFrom(kind layout.Kind, p [5]uint64) (s mpmcShape, err error) {
	places, policy, joinable := p[2]&(1<<policyShift-1), p[2]>>policyShift&(1<<(joinableShift-policyShift)-1), p[2]>>joinableShift
	if p[0] > maxSlots || p[1] > maxItem || places > maxPlaces || policy > uint64(Drop) || joinable > 1 || p[4] > maxArena {
		return s, fmt.Errorf("parameters %#x: %w", p, layout.ErrParams)
	}
	s, err = shapeMPMC(kind, int(p[0]), int(p[1]), int(places), Policy(policy))
	if err != nil {
		return s, fmt.Errorf("%w: %w", err, layout.ErrParams)
	}
	s.joinable, s.print, s.arena = joinable == 1, p[3], int64(p[4])
	return s, nil
}
