package shm

import (
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// The memory of an arena: a header, the arena's own words, a word for each unit of data, a record for each
// span that there can be, the data.
//
// A unit is 64 KiB. A block of more than half of one is a run of whole units; smaller ones lie, many of one
// size, in a span of four. Words and records are backed with memory when the units are first used.
const (
	unitBytes = 64 << 10
	spanUnits = 4
	spanBytes = spanUnits * unitBytes
	maxSmall  = unitBytes / 2 // largest block in a span

	maxUnits = 1 << 26

	// growUnits is how many units come into use at a time: their words fill a page.
	growUnits = 512

	arenaPage    = 4096
	maxArenaPage = 1 << 40
)

// A blockWord says who has a unit, or a block in a span. From low to high: 3 bits of state, 22 bits of holder, 39
// bits of generation, which grows with each change. So a compare-and-swap from a word that was
// read earlier fails if anything has happened since, whatever the block has been meanwhile.
//
//	free    -> claimed          whoever takes a unit; a run begins with its first unit
//	claimed -> held | span      the same, once the memory is there and all is set up
//	held    -> held | frozen    the holder hands it on, or freezes it
//	held | frozen -> claimed    the holder, or whoever acts for a dead one, frees it
//	span    -> claimed          its owner, when no block in it is held
//	claimed -> free
//
// A block in a span is free, held, frozen, or claimed by the span's owner, who keeps it for its next allocation. The other units of a run or span are rest: they belong to the
// first, are taken after it and given back before it.
type blockWord uint64

type blockState uint8

const (
	blockFree    blockState = iota // zeroed memory: a unit that was never used
	blockClaimed                   // the holder sets it up, gives it back or trims it
	blockHeld
	blockFrozen
	blockSpan // the holder allocates in it
	blockRest // of the run or span that begins before it
)

const (
	stateBits  = 3
	holderBits = 22
	blockGens  = 1<<(64-stateBits-holderBits) - 1

	// A rest has the index of the first unit, and whether it is backed, where others have holder and generation.
	headBits = 26
	restGens = 1<<(64-stateBits-headBits-1) - 1
)

func makeBlockWord(s blockState, h Holder, gen uint64) blockWord {
	return blockWord(s) | blockWord(h)<<stateBits | blockWord(gen&blockGens)<<(stateBits+holderBits)
}

func (w blockWord) state() blockState { return blockState(w & (1<<stateBits - 1)) }

// held reports whether somebody has the block.
func (w blockWord) held() bool { return w.state() == blockHeld || w.state() == blockFrozen }

func (w blockWord) holder() Holder { return Holder(w>>stateBits) & maxHolder }

func (w blockWord) gen() uint64 {
	if w.state() == blockRest {
		return uint64(w) >> (stateBits + headBits + 1)
	}
	return uint64(w) >> (stateBits + holderBits)
}

// next is the word after w.
func (w blockWord) next(s blockState, h Holder) blockWord { return makeBlockWord(s, h, w.gen()+1) }

// A free unit has, in place of the holder, whether there is memory behind it and since when it is free.

func (w blockWord) freed(backed bool, epoch uint32) blockWord {
	h := Holder(epoch&maxEpoch) << 1
	if backed {
		h |= 1
	}
	return w.next(blockFree, h)
}

const maxEpoch = 1<<(holderBits-1) - 1

func (w blockWord) epoch() uint32 { return uint32(w.holder() >> 1) }

// backed reports whether a free unit or a rest has memory.
func (w blockWord) backed() bool {
	if w.state() == blockRest {
		return w>>(stateBits+headBits)&1 != 0
	}
	return w.holder()&1 != 0
}

// rest is the word that makes the free unit w part of what begins at unit head.
func (w blockWord) rest(head int) blockWord {
	r := blockWord(blockRest) | blockWord(head)<<stateBits | blockWord((w.gen()+1)&restGens)<<(stateBits+headBits+1)
	if w.backed() {
		r |= 1 << (stateBits + headBits)
	}
	return r
}

// isRestOf reports whether the unit belongs to what begins at unit head.
func (w blockWord) isRestOf(head int) bool {
	return w.state() == blockRest && int(w>>stateBits)&(1<<headBits-1) == head
}

func (w blockWord) String() string {
	names := [...]string{"free", "claimed", "held", "frozen", "span", "rest"}
	if s := int(w.state()); s < len(names) {
		return fmt.Sprintf("%s by %d, generation %d", names[s], w.holder(), w.gen())
	}
	return fmt.Sprintf("impossible word %#x", uint64(w))
}

// arenaControl holds what all processes look at.
type arenaControl struct {
	_ structs.HostLayout

	// top is how many units have words with memory behind them. It only grows, by compare-and-swap, after
	// the memory was reserved.
	top atomic.Uint64

	// epoch counts calls of Trim. A unit that is freed gets it.
	epoch atomic.Uint32

	// foreign counts the blocks that were freed in spans of others: a hint for owners to look at theirs.
	foreign atomic.Uint32
	_       [layout.Line - 16]byte
}

// A spanRecord describes a span. It is written by the span's owner before the unit's word says so; after that
// words change by compare-and-swap.
type spanRecord struct {
	_      structs.HostLayout
	class  atomic.Uint32
	remote atomic.Uint32 // how many blocks others have freed: a hint; pairs with the load in span.sweep
	words  [spanWords]atomic.Uint64
}

const (
	spanWords   = 511
	recordBytes = 4096
)

var (
	_ = layout.Sized[arenaControl](layout.Line)
	_ = layout.Sized[spanRecord](recordBytes)
)

// classSizes are the sizes of blocks in spans: four to each doubling, as far as more of them fit than of
// the next.
var classSizes = func() (sizes []int64) {
	for base := int64(512); base <= maxSmall; base *= 2 {
		for q := int64(4); q < 8 && base*q/4 <= maxSmall; q++ {
			sizes = append(sizes, base*q/4)
		}
	}
	return sizes
}()

// classOf maps a size, in steps of 128 bytes, to the least class that it fits.
var classOf = func() (classes [maxSmall/128 + 1]uint8) {
	c := 0
	for i := range classes {
		for classSizes[c] < int64(i)*128 {
			c++
		}
		classes[i] = uint8(c)
	}
	return classes
}()

// classOfSize returns the class for n bytes, at most maxSmall.
func classOfSize(n int64) int { return int(classOf[(n+127)/128]) }

// classBlocks is how many blocks a span of the class has.
func classBlocks(class int) int { return min(int(spanBytes/classSizes[class]), spanWords) }

// arenaShape is where the parts of an arena lie, in bytes from its start.
type arenaShape struct {
	units                int
	words, records, data int64
	total                int64
}

// shapeOf lays out an arena of n units whose data begin at a multiple of page.
func shapeOf(n int, page int64) arenaShape {
	s := arenaShape{units: n, words: 2 * layout.Line}
	s.records = layout.Align(s.words+int64(n)*8, arenaPage)
	s.data = layout.Align(s.records+int64((n+spanUnits-1)/spanUnits)*recordBytes, max(page, unitBytes))
	s.total = s.data + int64(n)*unitBytes
	return s
}
