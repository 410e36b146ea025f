package semaphore

import (
	"fmt"
	"math"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// Size is how many bytes of shared memory a [Semaphore] takes.
const Size = 2 * layout.Line

// body is a Semaphore in shared memory. Its changing words share a line on purpose:
// whoever releases has the line already when it looks for sleepers. The claims have another,
// for who is about to sleep. The header is read by Attach alone.
type body struct {
	_      structs.HostLayout
	header layout.Header // parameters 0: the capacity; 4, of a robust one: see owner.Init

	// free is how many permits can be had, 0 to capacity. Everybody changes it, by CAS
	// alone: from v to v-n in take, to v+n in Release.
	free atomic.Int64

	// Eventcounts, notified after free grew, both after turn changed so that others may take permits: single is for those who wait for one
	// permit, each of whom can use any; many is for those who wait for more, whom
	// all must be told because each has a number of its own.
	single, many atomic.Uint32

	turn atomic.Uint64 // whose turn it is: see turns

	_ [layout.Line - layout.HeaderSize - 24]byte

	claim claimWords
}

var _ = layout.Sized[body](Size)

// format makes the first bytes of mem a semaphore with capacity free permits.
func format(mem []byte, capacity int64) (*body, error) {
	b, err := at(mem)
	if err != nil {
		return nil, err
	}
	clear(mem[:Size]) // plain: nobody else uses it yet
	b.free.Store(capacity)
	// The header's magic is stored last: who sees it sees all of the above.
	return b, layout.Init(mem[:Size], layout.KindSemaphore, uint64(capacity))
}

// join returns the semaphore in the first bytes of mem, and its capacity.
func join(mem []byte) (*body, int64, error) {
	b, err := at(mem)
	if err != nil {
		return nil, 0, err
	}
	params, err := layout.Check(mem[:Size], layout.KindSemaphore)
	if err != nil {
		return nil, 0, err
	}
	if c := params[0]; c < 1 || c > math.MaxInt64 {
		return nil, 0, fmt.Errorf("capacity %d: %w", c, ErrCorrupted)
	}
	return b, int64(params[0]), nil
}

func at(mem []byte) (*body, error) {
	if len(mem) < Size {
		return nil, fmt.Errorf("memory of %d bytes, a semaphore takes %d", len(mem), Size)
	}
	return layout.At[body](mem, 0)
}
