package pool

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shmkit/shmkit/internal/layout"
)

// A heap hands out blocks of one region of the pool's memory. It belongs to one
// process, which alone allocates and frees; its books are that process's own, so
// that nothing which another process writes or leaves half-written can confuse them.
//
// It is a first-fit list over a region that grows from its start: everything below
// backed has memory behind it, and what lies free at the top goes back to the system
// once it exceeds keepBytes.
type heap struct {
	seg    backing
	off    int64 // of the region, in the segment
	size   int64
	top    int64    // end of the last block
	backed int64    // [0, backed) has memory
	holes  []extent // free below top, ascending, none touching another
}

// backing is what a heap needs of a segment.
type backing interface {
	Reserve(off, n int64) error
	Punch(off, n int64) error
}

// An extent is a part of a region.
type extent struct{ off, n int64 }

const (
	blockAlign = 64
	growBytes  = 256 << 10 // backed at a time at least
	keepBytes  = 64 << 20  // kept backed though free
)

// errFull says that a block does not fit now, but may when others are freed.
var errFull = errors.New("no room in shared memory now")

// roundBlock is what a block of n bytes really takes.
func roundBlock(n int64) int64 { return layout.Align(max(n, 1), blockAlign) }

// alloc returns the offset of n bytes from the start of the segment. It fails with
// errFull, or because the machine has no memory left.
func (h *heap) alloc(n int64) (off int64, err error) {
	n = roundBlock(n)
	if n > h.size {
		return 0, fmt.Errorf("allocate %d bytes: Options.Memory is %d bytes: %w", n, h.size, ErrTooLarge)
	}
	for i, hole := range h.holes {
		if hole.n >= n {
			h.holes[i] = extent{hole.off + n, hole.n - n}
			if hole.n == n {
				h.holes = slices.Delete(h.holes, i, i+1)
			}
			return h.off + hole.off, nil
		}
	}
	if h.top+n > h.size {
		return 0, errFull
	}
	if err := h.back(h.top + n); err != nil {
		return 0, err
	}
	off = h.top
	h.top += n
	return h.off + off, nil
}

// back makes sure that everything below end has memory.
func (h *heap) back(end int64) error {
	if end <= h.backed {
		return nil
	}
	end = min(max(layout.Align(end, pageBytes), h.backed+growBytes), h.size)
	if err := h.seg.Reserve(h.off+h.backed, end-h.backed); err != nil {
		return err
	}
	h.backed = end
	return nil
}

// free takes a block back: off and n as given to and by alloc.
func (h *heap) free(off, n int64) {
	hole := extent{off - h.off, roundBlock(n)}
	i, clash := slices.BinarySearchFunc(h.holes, hole.off, func(e extent, at int64) int { return int(e.off - at) })
	if clash || hole.off < 0 || hole.off+hole.n > h.top || h.overlaps(i, hole) {
		panic(fmt.Sprintf("pool: block at %d of %d bytes freed twice", off, n))
	}
	h.holes = slices.Insert(h.holes, i, hole)
	h.join(i)
	h.join(i - 1)
	h.trim()
}

func (h *heap) overlaps(i int, e extent) bool {
	return i > 0 && h.holes[i-1].off+h.holes[i-1].n > e.off ||
		i < len(h.holes) && e.off+e.n > h.holes[i].off
}

// join makes one of holes i and i+1 if they touch.
func (h *heap) join(i int) {
	if i < 0 || i+1 >= len(h.holes) || h.holes[i].off+h.holes[i].n != h.holes[i+1].off {
		return
	}
	h.holes[i].n += h.holes[i+1].n
	h.holes = slices.Delete(h.holes, i+1, i+2)
}

// trim lowers top below a hole at the end, and gives memory back.
func (h *heap) trim() {
	last := len(h.holes) - 1
	if last < 0 || h.holes[last].off+h.holes[last].n != h.top {
		return
	}
	h.top = h.holes[last].off
	h.holes = h.holes[:last]
	keep := layout.Align(h.top, pageBytes) + keepBytes
	if h.backed <= keep+keepBytes {
		return // some slack, so that a block that comes and goes does not punch each time
	}
	if h.seg.Punch(h.off+keep, h.backed-keep) == nil {
		h.backed = keep
	}
}
