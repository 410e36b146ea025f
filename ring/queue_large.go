package ring

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/codec"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// An encoded item lies in its slot, or in a block of the queue's arena of which the slot tells. The words of a slot:
//
//	0      the item's length in bytes; with the bit inBlock it is in a block
//	1 ...  the item, or the block: where it is, its size, its word
//
// Who has a block is always written down in the arena: the producer until the item is about to be put, then the slot,
// under a number of its own. So nothing has to be known of what somebody was doing who was killed:
//
//   - a producer that held a block, or had a slot and had given it a block or not: what its number and that slot's hold is freed;
//   - a consumer that had not released the slot: the slot still has the block, for the next, or it is freed;
//   - a consumer that had, and not freed the block: the block is freed before the slot can be claimed again.
const (
	encodedSlot = 128
	itemWords   = encodedSlot / wordSize
	maxInline   = encodedSlot - wordSize
	inBlock     = 1 << 63

	firstSlot = 1 << 21 // holders below are participants, the others are slots
)

// largeItems is the arena of a queue.
type largeItems struct {
	ring  *MPMC
	arena *shm.Arena
	cells []atomic.Uint64 // the slots' words
}

// arenaAt is where the arena begins, behind a ring of size bytes.
func arenaAt(size int64) int64 { return layout.Align(size, int64(64<<10)) }

// A part is the memory of the arena within that of the queue.
type part struct {
	segment *shm.Segment
	at      int64
}

func (p part) Reserve(off, n int64) error { return p.segment.Reserve(p.at+off, n) }
func (p part) Punch(off, n int64) error   { return p.segment.Punch(p.at+off, n) }

// openLarge opens the arena behind the ring, or makes it, as a participant that takes a place afterwards.
func openLarge(r *MPMC, segment *shm.Segment, create bool) (l *largeItems, err error) {
	at, size := arenaAt(r.total), shm.ArenaSize(r.arena, 0)
	if r.slots > firstSlot || size > segment.Size()-at {
		return nil, fmt.Errorf("%d slots, and an arena of %d bytes in memory of %d: %w", r.slots, size, segment.Size()-at, layout.ErrParams)
	}
	l = &largeItems{ring: r}
	if l.cells, err = layout.Slice[atomic.Uint64](r.mem, 0, r.slots*itemWords); err != nil {
		return nil, err
	}
	mem, self := segment.Bytes()[at:at+size], r.newHolder()
	if create {
		l.arena, err = shm.NewArena(mem, r.arena, 0, shm.Holder(self), part{segment, at})
	} else {
		l.arena, err = shm.OpenArena(mem, shm.Holder(self), part{segment, at})
	}
	r.estate = estate{passed: l.passed, orphan: l.orphan, heir: self, bury: l.bury}
	return l, err
}

// newHolder returns a number that no participant has. There are two million, given out in turn.
func (m *MPMC) newHolder() uint32 {
	for {
		n := m.ctl.holders.Add(1) % firstSlot
		if n != 0 && !m.isHolder(n) {
			return n
		}
	}
}

func (m *MPMC) isHolder(n uint32) bool {
	for i := range m.table {
		for k := range m.table[i].holders {
			if m.table[i].holders[k].Load() == n {
				return true
			}
		}
	}
	return false
}

func holderOf(slot int) shm.Holder { return shm.Holder(firstSlot + slot) }

// orphan frees what a slot holds whose item nobody will get.
func (l *largeItems) orphan(slot int) { l.arena.Reclaim(holderOf(slot)) }

func (l *largeItems) bury(holder uint32) { l.arena.Reclaim(shm.Holder(holder)) }

// passed frees the blocks of slots whose items were taken by one who was killed before it could. While still
// holds nobody has claimed the slots, and what was read of them is what that one had.
func (l *largeItems) passed(r Run, still func() bool) {
	for i := range r.n {
		b, ok := l.block(l.ring.slot(r.pos + uint64(i)))
		if ok && still() {
			l.free(b) // most are free already: then nothing happens
		}
	}
}

// block returns the block of which a slot tells. All words may have been written by anybody.
func (l *largeItems) block(slot int) (b shm.Block, ok bool) {
	at := slot * itemWords
	if l.cells[at].Load()&inBlock == 0 {
		return b, false
	}
	return shm.Block{Off: int64(l.cells[at+1].Load()), Cap: int64(l.cells[at+2].Load()), Word: l.cells[at+3].Load()}, true
}

// find returns the bytes of the item in a slot that the caller has taken, and the block in which they are.
func (l *largeItems) find(slot int) (data []byte, b shm.Block, err error) {
	n := l.cells[slot*itemWords].Load()
	b, ok := l.block(slot)
	if !ok {
		if n > maxInline {
			return nil, b, fmt.Errorf("an item of %d bytes in a slot: %w", n, ErrCorrupted)
		}
		at := slot*encodedSlot + wordSize
		return l.ring.mem[at : at+int(n)], b, nil
	}
	found, err := l.arena.Find(b.Off, b.Cap, b.Word)
	if n &^= inBlock; err != nil || n > uint64(b.Cap) {
		return nil, shm.Block{}, fmt.Errorf("an item of %d bytes: %w: %w", n, errors.Join(err), ErrCorrupted)
	}
	return l.arena.Bytes(found)[:n], found, nil
}

// A parcel is an encoded item on its way into the queue.
type parcel struct {
	encoded codec.Encoded
	block   shm.Block // this participant's; none if its word is 0
}

func (q *Queue[T]) parcel(v *T) (p parcel, err error) {
	if p.encoded, err = q.plan.Prepare(v, nil); err != nil {
		return p, putError(err)
	}
	return p, nil
}

// ship puts a parcel that is packed. ok is false if the ring is full: then it may be tried again, or scrapped.
func (q *queueCore) ship(p *parcel) (ok bool, err error) {
	r, ok, err := q.ring.Reserve(1)
	if !ok {
		return false, putError(err)
	}
	q.large.store(q.ring.slot(r.pos), p)
	return true, q.commit(r)
}

// pack copies what is too large for a slot into a block. ok is false if there is no memory for it now.
func (q *queueCore) pack(p *parcel) (ok bool, err error) {
	if q.ring.Closed() {
		return false, putError(ErrClosed)
	}
	ok, err = q.large.pack(p)
	return ok, putError(err)
}

// pack copies what is too large for a slot into a block.
func (l *largeItems) pack(p *parcel) (ok bool, err error) {
	if p.encoded.Size() <= maxInline || p.block.Word != 0 {
		return true, nil
	}
	b, _, err := l.arena.Alloc(int64(p.encoded.Size()))
	if errors.Is(err, shm.ErrArenaFull) {
		if _, _, err := l.ring.advance(); err != nil { // frees what the dead have left
			return false, err
		}
		b, _, err = l.arena.Alloc(int64(p.encoded.Size()))
	}
	if errors.Is(err, shm.ErrArenaFull) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p.encoded.CopyTo(l.arena.Bytes(b)[:p.encoded.Size()])
	p.block = b
	return true, nil
}

// store writes the parcel into a slot that this participant has claimed. A block is the slot's from then on.
func (l *largeItems) store(slot int, p *parcel) {
	at, size := slot*itemWords, p.encoded.Size()
	if p.block.Word == 0 {
		l.cells[at].Store(uint64(size))
		p.encoded.CopyTo(l.ring.mem[slot*encodedSlot+wordSize:][:size]) // plain: nobody else has the slot
		return
	}
	b, ok := l.arena.Give(p.block, holderOf(slot))
	if !ok { // written by who must not: who gets the item finds no block
		b = shm.Block{}
	}
	p.block = shm.Block{}
	l.cells[at+1].Store(uint64(b.Off))
	l.cells[at+2].Store(uint64(b.Cap))
	l.cells[at+3].Store(b.Word)
	l.cells[at].Store(uint64(size) | inBlock) // pairs with the load in block
}

// scrap frees the block of a parcel that was not sent.
func (q *queueCore) scrap(p *parcel) {
	if p.block.Word == 0 {
		return
	}
	q.large.free(p.block)
	p.block = shm.Block{}
}

// free frees a block and tells all who wait for memory: they want different amounts.
func (l *largeItems) free(b shm.Block) {
	if l.arena.Free(b) {
		l.freed().NotifyAll()
	}
}

func (l *largeItems) freed() semaphore.Eventcount { return semaphore.EventcountOn(&l.ring.ctl.memory) }
