package semaphore

import (
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// OnceSize is how many bytes of shared memory a [Once] takes.
const OnceSize = layout.Line

// onceBody is a Once in shared memory.
type onceBody struct {
	_      structs.HostLayout
	header layout.Header // parameter 4: see owner.Init

	// word is 0 if nobody has done it, the [owner.ID] of the process that does it, or onceDone. Who does it takes it by a
	// compare-and-swap:
	//
	//	0      -> ID        a process begins
	//	ID     -> ID'       another begins, when the first is dead
	//	ID     -> onceDone  it has succeeded
	//	ID     -> 0         it has failed
	word atomic.Uint64

	changed atomic.Uint32 // an eventcount: notified when it was done, and when another may do it
	_       [OnceSize - layout.HeaderSize - 12]byte
}

var _ = layout.Sized[onceBody](OnceSize)

// onceDone is the ID of no process, the pid of which would be 0.
const onceDone = 1 << 63

func formatOnce(mem []byte) error {
	if _, err := onceAt(mem); err != nil {
		return err
	}
	clear(mem[:OnceSize]) // plain: nobody else uses it yet
	return owner.Init(mem[:OnceSize], layout.KindOnce)
}

func joinOnce(mem []byte) (*onceBody, error) {
	b, err := onceAt(mem)
	if err != nil {
		return nil, err
	}
	_, err = owner.Check(mem[:OnceSize], layout.KindOnce)
	return b, err
}

func onceAt(mem []byte) (*onceBody, error) {
	if len(mem) < OnceSize {
		return nil, fmt.Errorf("memory of %d bytes, a once takes %d", len(mem), OnceSize)
	}
	return layout.At[onceBody](mem, 0)
}
