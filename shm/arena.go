package shm

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// An Arena hands out blocks of one memory to several processes. Each process has its own *Arena on it, as one
// [Holder]; all methods may be called by several goroutines at once.
//
// Every block is held by somebody: by the process that allocated it until that hands it on, with
// [Arena.Give]. Whoever holds a block frees it. A process that dies leaves blocks, and at worst half a change:
// after proof of its death, one other calls [Arena.Reclaim], and all that was held by the dead one is free
// again. No operation waits for another process.
//
// A block's memory is backed when it is handed out, so that touching it cannot fail. Memory that is
// free keeps its pages, for whoever allocates next, until [Arena.Trim] has seen it twice.
type Arena struct {
	mem     []byte
	backing Backing
	self    Holder
	shape   arenaShape
	grain   int // units that are given back to the system together
	ctl     *arenaControl
	words   []atomic.Uint64
	records []spanRecord

	cursor atomic.Int64 // unit from which the next search goes

	mu      sync.Mutex // guards what follows
	classes []sizeClass
	spans   []*span // of this process, by their first unit divided by spanUnits; as long as needed
}

// A Holder is a number for somebody who can hold blocks, at least 1 and at most [MaxHolder]. What the numbers
// mean, beside the one that a process attaches as, is for the program to say.
type Holder uint32

// MaxHolder is the largest number of a holder.
const MaxHolder Holder = maxHolder

const maxHolder = 1<<holderBits - 1

// Backing is what an arena needs of the memory that it lies in: [Segment] has it. Offsets count from the start
// of the arena.
type Backing interface {
	Reserve(off, n int64) error
	Punch(off, n int64) error
}

// A Block is a part of an arena, as it was when the caller got it: what others do with it since
// does not show, and makes calls with it fail. It is plain data, and can be sent to another process.
type Block struct {
	Off  int64  // in bytes from the start of the arena; a multiple of 64
	Cap  int64  // how many bytes it has, at least as many as were asked for
	Word uint64 // its holder and generation
}

// Frozen reports whether the block was frozen.
func (b Block) Frozen() bool { return blockWord(b.Word).state() == blockFrozen }

// Holder returns who holds the block.
func (b Block) Holder() Holder { return blockWord(b.Word).holder() }

// What can be wrong with a request.
var (
	// ErrArenaFull: there is no room now. There may be when other blocks are freed.
	ErrArenaFull = errors.New("no room in the arena now")

	// ErrTooLarge: the arena is smaller than that.
	ErrTooLarge = errors.New("larger than the arena")
)

// ArenaSize returns how much memory an arena takes that can hold n bytes of blocks, n rounded up to whole units
// of 64 KiB. The blocks begin at a multiple of page, a power of two, from its start.
func ArenaSize(n, page int64) int64 { return shapeOf(unitsFor(n), max(page, arenaPage)).total }

// unitsFor is how many units n bytes take, at least 1.
func unitsFor(n int64) int { return int((max(n, 1)-1)/unitBytes + 1) }

// NewArena makes an arena of mem, which is all zero, for n bytes of blocks, as many as given to [ArenaSize] for
// its length, and attaches to it as self. backing reserves and gives back mem's memory; nil if that needs
// nothing, as on the heap. page is the size in which backing does so.
func NewArena(mem []byte, n, page int64, self Holder, backing Backing) (*Arena, error) {
	page = max(page, arenaPage)
	shape := shapeOf(unitsFor(n), page)
	switch {
	case n < 0 || shape.units > maxUnits:
		return nil, fmt.Errorf("make arena for %d bytes: it must be between 0 and %d: %w", n, int64(maxUnits)*unitBytes, os.ErrInvalid)
	case page&(page-1) != 0 || page > maxArenaPage:
		return nil, fmt.Errorf("make arena in pages of %d bytes: it must be a power of two up to %d: %w", page, int64(maxArenaPage), os.ErrInvalid)
	case shape.total != int64(len(mem)):
		return nil, fmt.Errorf("make arena: %d bytes of blocks need %d bytes of memory, not %d: %w", n, shape.total, len(mem), os.ErrInvalid)
	}
	if backing != nil {
		if err := backing.Reserve(0, 2*layout.Line); err != nil {
			return nil, fmt.Errorf("make arena: %w", err)
		}
	}
	if err := layout.Init(mem, layout.KindArena, uint64(shape.units), uint64(page)); err != nil {
		return nil, fmt.Errorf("make arena: %w", err)
	}
	return OpenArena(mem, self, backing)
}

// OpenArena attaches to the arena that another process has made in mem, as self, which nobody else is or was
// whose blocks have not been reclaimed.
func OpenArena(mem []byte, self Holder, backing Backing) (*Arena, error) {
	if self == 0 || self > maxHolder {
		return nil, fmt.Errorf("open arena: holder is %d, it must be between 1 and %d: %w", self, maxHolder, os.ErrInvalid)
	}
	params, err := layout.Check(mem, layout.KindArena)
	if err != nil {
		return nil, err
	}
	units, page := params[0], params[1]
	if units == 0 || units > maxUnits || page < arenaPage || page > maxArenaPage || page&(page-1) != 0 ||
		shapeOf(int(units), int64(page)).total != int64(len(mem)) {
		return nil, fmt.Errorf("open arena: %d units in pages of %d do not fit memory of %d bytes: %w", units, page, len(mem), layout.ErrParams)
	}
	a := &Arena{mem: mem, backing: backing, self: self, shape: shapeOf(int(units), int64(page)),
		grain: max(int(page/unitBytes), 1), classes: make([]sizeClass, len(classSizes))}
	if a.ctl, err = layout.At[arenaControl](mem, layout.Line); err != nil {
		return nil, err
	}
	if a.words, err = layout.Slice[atomic.Uint64](mem, a.shape.words, a.shape.units); err != nil {
		return nil, err
	}
	a.records, err = layout.Slice[spanRecord](mem, a.shape.records, (a.shape.units+spanUnits-1)/spanUnits)
	return a, err
}

// Size returns how many bytes of blocks the arena can hold at most.
func (a *Arena) Size() int64 { return int64(a.shape.units) * unitBytes }

// Alloc returns a block of at least n bytes, held by this process. zero reports whether its bytes are known to be
// zero; otherwise they are whatever they were. The error wraps [ErrTooLarge] if the arena could never hold
// it, [ErrArenaFull] if it has no room now, and [ErrNoMemory] if the machine has no memory for it.
func (a *Arena) Alloc(n int64) (b Block, zero bool, err error) {
	switch {
	case n < 0:
		return Block{}, false, fmt.Errorf("allocate %d bytes: %w", n, os.ErrInvalid)
	case n > a.Size():
		return Block{}, false, fmt.Errorf("allocate %d bytes: the arena has %d: %w", n, a.Size(), ErrTooLarge)
	}
	b, zero, err = a.alloc(n)
	if errors.Is(err, ErrArenaFull) {
		a.Sweep()
		b, zero, err = a.alloc(n)
	}
	if errors.Is(err, ErrArenaFull) && n <= maxSmall {
		b, zero, err = a.allocRun(1) // there may be one unit where there are not the four of a span
	}
	if err != nil {
		err = fmt.Errorf("allocate %d bytes: %w", n, err)
	}
	return b, zero, err
}

func (a *Arena) alloc(n int64) (b Block, zero bool, err error) {
	if n <= maxSmall {
		class := classOfSize(n)
		b, ok := a.allocStashed(class)
		if !ok {
			b, err = a.allocSmall(class)
		}
		return b, false, err
	}
	return a.allocRun(unitsFor(n))
}

// Free gives the block back. It reports whether the block was as b says: if not, somebody else has freed it or
// handed it on, and nothing happens.
func (a *Arena) Free(b Block) bool {
	if !blockWord(b.Word).held() {
		return false
	}
	if freed, tried := a.freeStashed(b); tried {
		return freed
	}
	if freed, own := a.freeOwn(b); own {
		return freed
	}
	switch word := a.locate(b.Off, b.Cap); word {
	case nil:
		return false
	case &a.words[a.unit(b.Off)]:
		return a.freeRun(b)
	default:
		return a.freeForeign(b, word)
	}
}

// Give hands a block on and returns it as the one to whom it was given has it. It fails as Free does.
func (a *Arena) Give(b Block, to Holder) (Block, bool) {
	if to == 0 || to > maxHolder {
		panic(fmt.Sprintf("shm: a block is given to holder %d, it must be between 1 and %d", to, maxHolder))
	}
	return a.change(b, blockWord(b.Word).next(blockWord(b.Word).state(), to))
}

// Freeze marks a block as one that does not change any more. It fails as Free does.
func (a *Arena) Freeze(b Block) (Block, bool) {
	return a.change(b, blockWord(b.Word).next(blockFrozen, b.Holder()))
}

func (a *Arena) change(b Block, to blockWord) (Block, bool) {
	if !blockWord(b.Word).held() {
		return Block{}, false
	}
	word := a.locate(b.Off, b.Cap)
	if word == nil || !word.CompareAndSwap(b.Word, uint64(to)) {
		return Block{}, false
	}
	b.Word = uint64(to)
	return b, true
}

// Find checks a block that another process has named: that there is a block of n bytes at off, and that its word
// is that one.
func (a *Arena) Find(off, n int64, word uint64) (Block, error) {
	w := blockWord(word)
	at := a.locate(off, n)
	if at == nil || at.Load() != word || !w.held() {
		return Block{}, fmt.Errorf("find block: %d bytes at %d are not %v: %w", n, off, w, os.ErrInvalid)
	}
	return Block{Off: off, Cap: n, Word: word}, nil
}

// Bytes returns the memory of a block. It is valid for as long as the arena's memory is, but somebody
// else's once the block is no longer held.
func (a *Arena) Bytes(b Block) []byte { return a.mem[b.Off : b.Off+b.Cap : b.Off+b.Cap] }

// locate returns the word of the block of n bytes or more at off, nil if there is none. Everything that it
// reads may have been written by anybody.
func (a *Arena) locate(off, n int64) *atomic.Uint64 {
	at := off - a.shape.data
	if at < 0 || n < 0 || at > a.Size() || n > a.Size()-at || at/unitBytes >= int64(a.top()) {
		return nil
	}
	head := int(at / unitBytes)
	if base := head &^ (spanUnits - 1); blockWord(a.words[base].Load()).state() == blockSpan {
		return a.locateInSpan(base, at-int64(base)*unitBytes, n)
	}
	last := int((at + max(n, 1) - 1) / unitBytes) // all between the ends of a run was taken together
	if at%unitBytes != 0 || last > head && !blockWord(a.words[last].Load()).isRestOf(head) {
		return nil
	}
	return &a.words[head]
}

// locateInSpan is locate for a block that lies in bytes into the span at unit head.
func (a *Arena) locateInSpan(head int, in, n int64) *atomic.Uint64 {
	r := &a.records[head/spanUnits]
	class := r.class.Load()
	if class >= uint32(len(classSizes)) || n > classSizes[class] {
		return nil
	}
	k := uint32(in) / uint32(classSizes[class])
	if int64(k)*classSizes[class] != in || int(k) >= classBlocks(int(class)) {
		return nil
	}
	return &r.words[k]
}

// unit returns in which unit off lies.
func (a *Arena) unit(off int64) int { return int((off - a.shape.data) / unitBytes) }

func (a *Arena) unitOff(u int) int64 { return a.shape.data + int64(u)*unitBytes }
