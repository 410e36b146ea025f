package pool

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// An answer is the place for one task's result, in the worker.
type answer struct {
	worker *worker
	slot   *slot
	index  uint32
	placed bool
	nearby int64  // bytes of the last result, if it was placed beside its slot: the next may be, too
	bulky  extent // where a large result lies, if there is one
}

// room returns the memory for a result of n bytes, which the caller fills. It is
// aligned to 8 bytes at least.
func (a *answer) room(n int64) ([]byte, error) {
	if a.bulky.n != 0 { // the task failed after its result was placed
		a.worker.results.drop(a.bulky)
		a.bulky = extent{}
	}
	a.slot.resLen = uint64(n)
	a.placed = true
	a.nearby = 0
	switch {
	case n <= inlineBytes:
		a.slot.resKind = inline
		return a.slot.res[:n:n], nil
	case n <= nearBytes:
		a.slot.resKind = near
		a.nearby = n
		return a.worker.mem.resNear(a.index)[:n:n], nil
	}
	off, err := a.worker.results.alloc(n)
	if err != nil {
		a.placed = false
		return nil, fmt.Errorf("place result of %d bytes: %w", n, err)
	}
	a.bulky = extent{off, n}
	a.slot.resKind = distant
	binary.LittleEndian.PutUint64(a.slot.res[:], uint64(off))
	return a.worker.mem.bytes[off : off+n : off+n], nil
}

// fail places an error. What does not fit is cut, down to what fits in the near space:
// an error always arrives.
func (a *answer) fail(e remoteError) {
	b := e.encode()
	dst, err := a.room(int64(len(b)))
	if err != nil {
		b = e.encodeWithin(nearBytes)
		dst, _ = a.room(int64(len(b))) // near space has room always
	}
	copy(dst, b)
}

// results is where a worker keeps its large results until the parent has copied
// them. The worker alone allocates; the parent frees by storing into the block's
// word, and the worker finds that when it next needs room.
type results struct {
	heap heap
	mem  *memory
	wake *atomic.Uint32 // to sleep on
	live []extent
}

// Each block is preceded by a word that says whether it is in use.
const (
	blockLive  = 1
	blockFreed = 2
)

func newResults(seg *shm.Segment, m *memory, index int) results {
	r := results{mem: m, heap: heap{seg: seg}, wake: &m.workers[index].wake}
	r.heap.off, r.heap.size = m.region(index + 1)
	return r
}

// roomTimeout is how long a result waits for the parent to copy earlier ones, and
// roomStep the time between two looks. The parent does so within checkEvery: when it does
// not, it is stopped, or this is a bug.
const (
	roomTimeout = 30 * time.Second
	roomStep    = 200 * time.Microsecond
)

// alloc returns the offset of n bytes, waiting for the parent if its region is full.
func (r *results) alloc(n int64) (int64, error) {
	deadline := time.Time{}
	for {
		r.sweep()
		off, err := r.heap.alloc(n + blockAlign)
		if err == nil {
			r.word(off).Store(blockLive)
			r.live = append(r.live, extent{off, n + blockAlign})
			return off + blockAlign, nil
		}
		if err != errFull {
			return 0, err
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(roomTimeout)
		} else if time.Now().After(deadline) {
			return 0, fmt.Errorf("%w: earlier results fill it", err)
		}
		// In bounded steps: the parent does not say when it has copied.
		sys.FutexWait(r.wake, r.wake.Load(), roomStep)
	}
}

// drop takes back a result that was not handed over.
func (r *results) drop(e extent) { r.word(e.off - blockAlign).Store(blockFreed) }

// sweep frees what the parent has copied.
func (r *results) sweep() {
	kept := r.live[:0]
	for _, e := range r.live {
		if r.word(e.off).Load() == blockFreed { // pairs with the store in Pool.collectDistant
			r.heap.free(e.off, e.n)
		} else {
			kept = append(kept, e)
		}
	}
	r.live = kept
}

func (r *results) word(off int64) *atomic.Uint64 {
	return layout.MustAt[atomic.Uint64](r.mem.bytes, off)
}
