package ring

import (
	"fmt"
	"math/bits"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// Hints is a bounded ring of small numbers with one producer process and any
// number of consumer processes. It carries the slot numbers of a pool: hints, in the
// sense that losing or doubling one must be harmless to its user, because a consumer
// that is killed between taking a number and acting on it takes the number with it.
//
// Each cell holds the number and, beside it, the low half of the position for which it
// was written. So a consumer polls one line, the cell's own, and needs no word from the
// producer; it CASes head and writes nothing else, so its death at any instruction
// wedges nobody. The producer writes cells only.
//
// Invariants:
//   - cell[pos & mask] is written for pos only while head > pos - capacity, so a
//     number is never overwritten before it was taken;
//   - head only grows, by compare-and-swap, so a consumer that was delayed for a whole
//     lap fails its CAS: positions have 64 bits and do not come again.
type Hints struct {
	head     *hintsHead
	cells    []atomic.Uint64
	mask     uint64
	capacity uint64
}

// hintsHead is the first line of the ring: the consumers' only word.
type hintsHead struct {
	_    structs.HostLayout
	head atomic.Uint64 // next position to take; CASed by consumers, read by the producer
	_    [layout.Line - 8]byte
}

var _ = layout.Sized[hintsHead](layout.Line)

// MaxHints is the largest capacity of a [Hints] ring.
const MaxHints = 1 << 30

// HintsSize returns the bytes that a ring of the given capacity takes.
func HintsSize(capacity int) int64 {
	return layout.Line + layout.Align(8*int64(storage(capacity)), layout.Line)
}

// storage is the number of cells: a power of two even where the capacity is none, so
// that a position keeps its cell when the counter wraps.
func storage(capacity int) uint64 {
	if capacity < 1 || capacity > MaxHints {
		panic(fmt.Sprintf("ring: hints capacity %d is not between 1 and %d", capacity, MaxHints))
	}
	return 1 << bits.Len(uint(capacity-1))
}

// OpenHints returns the ring that lies in mem, which is [HintsSize] bytes long and
// aligned to [layout.Line]. Zeroed memory is an empty ring.
func OpenHints(mem []byte, capacity int) (*Hints, error) {
	n := storage(capacity)
	head, err := layout.At[hintsHead](mem, 0)
	if err != nil {
		return nil, fmt.Errorf("open hints: %w", err)
	}
	cells, err := layout.Slice[atomic.Uint64](mem, layout.Line, int(n))
	if err != nil {
		return nil, fmt.Errorf("open hints: %w", err)
	}
	return &Hints{head: head, cells: cells, mask: n - 1, capacity: uint64(capacity)}, nil
}

// Reset empties the ring and starts it again at position start. Nobody else may
// use it meanwhile: its producer and its consumers are dead or not yet started.
func (h *Hints) Reset(start uint64) {
	for i := range uint64(len(h.cells)) {
		// As the lap before would have left it: no position that is yet to come matches.
		h.cells[(start+i)&h.mask].Store(cell(start+i-uint64(len(h.cells)), 0))
	}
	h.head.head.Store(start)
}

// cell packs a number with the tag of the position it is written for.
func cell(pos uint64, v uint32) uint64 { return uint64(uint32(pos+1))<<32 | uint64(v) }

// A HintsProducer is the one producer's handle. It is not safe for concurrent use.
type HintsProducer struct {
	h    *Hints
	tail uint64 // next position to write
	head uint64 // h.head as last loaded: a lower bound
}

// Producer returns the producer's handle for a ring whose next position is tail:
// what the ring was reset to, 0 for zeroed memory.
func (h *Hints) Producer(tail uint64) *HintsProducer {
	return &HintsProducer{h: h, tail: tail, head: tail}
}

// TryPush appends v and returns the position it got; ok is false if the ring is
// full. The store is a full fence: what the producer loads afterwards, such as a
// sleeper's flag, is loaded after v is visible. Pairs with the load in Peek.
func (p *HintsProducer) TryPush(v uint32) (pos uint64, ok bool) {
	pos = p.tail
	if !p.room() {
		return 0, false
	}
	p.h.cells[pos&p.h.mask].Store(cell(pos, v))
	p.tail = pos + 1
	return pos, true
}

// TryPushUnfenced is TryPush for a producer that brings its own full fence before it
// looks at a flag.
func (p *HintsProducer) TryPushUnfenced(v uint32) (ok bool) {
	pos := p.tail
	if !p.room() {
		return false
	}
	sys.ReleaseStore64(&p.h.cells[pos&p.h.mask], cell(pos, v))
	p.tail = pos + 1
	return true
}

// room reports whether a number can be pushed. It looks at the consumers' word only when it
// must.
func (p *HintsProducer) room() bool {
	if p.tail-p.head >= p.h.capacity {
		p.head = p.Head()
	}
	return p.tail-p.head < p.h.capacity
}

// Tail returns the position that the next push gets.
func (p *HintsProducer) Tail() uint64 { return p.tail }

// Head returns the position that the next consumer takes, as the consumers tell: a
// value that no honest consumer can have written counts as "nothing taken".
func (p *HintsProducer) Head() uint64 {
	head := p.h.head.head.Load() // pairs with the CAS in Take and the store in Drop
	if p.tail-head > p.h.capacity {
		return p.tail - p.h.capacity
	}
	return head
}

// Sound reports whether what lies in the ring can have come about: head has passed no more than was pushed, and the cells from there
// on, which only this producer writes, hold what it has written. If not, somebody else has written into the memory.
func (p *HintsProducer) Sound() bool {
	head := p.h.head.head.Load() // pairs with the CAS in Take
	if p.tail-head > p.h.capacity {
		return false
	}
	for pos := head; pos != p.tail; pos++ {
		if uint32(p.h.cells[pos&p.h.mask].Load()>>32) != uint32(pos+1) {
			return false
		}
	}
	return true
}

// Peek reads up to len(dst) numbers from the head of the ring and returns how many
// it found and the position of the first. It takes nothing: see Take.
func (h *Hints) Peek(dst []uint32) (pos uint64, n int) {
	pos = h.head.head.Load()
	for n < len(dst) {
		c := h.cells[(pos+uint64(n))&h.mask].Load() // pairs with the store in TryPush
		if uint32(c>>32) != uint32(pos+uint64(n)+1) {
			break
		}
		dst[n] = uint32(c)
		n++
	}
	return pos, n
}

// Take makes the n numbers that Peek found at pos the caller's. It fails if another
// consumer was faster; nothing has changed then.
func (h *Hints) Take(pos uint64, n int) bool {
	return h.head.head.CompareAndSwap(pos, pos+uint64(n)) // pairs with the load in Head
}

// TryPop takes one number; ok is false if the ring is empty.
func (h *Hints) TryPop() (v uint32, ok bool) {
	for {
		pos := h.head.head.Load()
		c := h.cells[pos&h.mask].Load() // pairs with the store in TryPush
		if uint32(c>>32) != uint32(pos+1) {
			if h.head.head.Load() == pos {
				return 0, false
			}
			continue // a cell of a later lap: head has moved on since
		}
		if h.Take(pos, 1) {
			return uint32(c), true
		}
	}
}

// Head returns the position that is taken next. It counts what was ever taken.
func (h *Hints) Head() uint64 { return h.head.head.Load() }

// Empty reports whether there is nothing to take at this moment.
func (h *Hints) Empty() bool {
	for {
		pos := h.head.head.Load()
		c := h.cells[pos&h.mask].Load() // pairs with the store in TryPush
		if uint32(c>>32) == uint32(pos+1) {
			return false
		}
		if h.head.head.Load() == pos {
			return true
		}
	}
}

// A HintsConsumer is the handle of a ring's only consumer, which keeps head in its
// own memory and believes no other. It is not safe for concurrent use.
type HintsConsumer struct {
	h    *Hints
	head uint64
}

// Consumer returns the only consumer's handle for a ring that was reset to head.
func (h *Hints) Consumer(head uint64) *HintsConsumer {
	return &HintsConsumer{h: h, head: head}
}

// Next reads the next numbers into dst and returns how many it found. The producer may
// reuse their cells only after Drop.
func (c *HintsConsumer) Next(dst []uint32) (n int) {
	for ; n < len(dst); n++ {
		word := c.h.cells[c.head&c.h.mask].Load() // pairs with the stores in TryPush and TryPushUnfenced
		if uint32(word>>32) != uint32(c.head+1) {
			break
		}
		c.head++
		dst[n] = uint32(word)
	}
	return n
}

// Drop gives the cells of all numbers that Next returned back to the producer.
func (c *HintsConsumer) Drop() { sys.ReleaseStore64(&c.h.head.head, c.head) } // pairs with the load in Head

// Sound reports whether the next cell can have come about: it holds the next item, or the one before it in the same place, or
// nothing yet. If not, somebody else has written into the memory.
func (c *HintsConsumer) Sound() bool {
	was := c.h.cells[c.head&c.h.mask].Load() // pairs with the store in TryPush
	tag, next := uint32(was>>32), uint32(c.head+1)
	return was == 0 || tag == next || tag == next-uint32(c.h.mask+1)
}
