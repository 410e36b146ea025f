package pool

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/shmkit/shmkit/shm"
)

// An answer is the place for one task's result, in the worker.
type answer struct {
	worker *worker
	slot   *slot
	index  uint32
	placed bool
	nearby int64     // bytes of the last result, if it was placed beside its slot: the next may be, too
	bulky  shm.Block // where a large result lies, if there is one
}

// room returns the memory for a result of n bytes, which the caller fills. It is
// aligned to 8 bytes at least.
func (a *answer) room(n int64) ([]byte, error) {
	if a.bulky.Cap != 0 { // the task failed after its result was placed
		a.worker.free(a.bulky)
		a.bulky = shm.Block{}
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
	b, _, err := a.worker.allocate(n, notEnded)
	if err != nil {
		a.placed = false
		return nil, fmt.Errorf("place result of %d bytes: %w", n, err)
	}
	return a.place(b, n), nil
}

// place makes a block of n bytes the result.
func (a *answer) place(b shm.Block, n int64) []byte {
	a.bulky, a.placed, a.nearby = b, true, 0
	a.slot.resLen = uint64(n)
	a.slot.resKind = distant
	binary.LittleEndian.PutUint64(a.slot.res[:], uint64(b.Off))
	binary.LittleEndian.PutUint64(a.slot.res[8:], b.Word)
	return a.worker.store.Bytes(b)[:n:n]
}

// guess returns memory for a result that is about as large as the last, none if that was small or there is no room at
// once: the result may turn out to need less.
func (a *answer) guess(last int64) (b shm.Block) {
	if n := guessed(last); n > 0 {
		b, _, _ = a.worker.store.Alloc(n)
	}
	return b
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

// roomStep bounds the time between two looks of a worker that waits for room in its completion ring.
const roomStep = 200 * time.Microsecond
