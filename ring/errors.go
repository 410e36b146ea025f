package ring

import (
	"errors"

	"github.com/shmkit/shmkit/semaphore"
)

// Errors that callers may want to tell apart.
var (
	// ErrCorrupted means that a ring's memory holds something that none of its
	// users can have written. The ring is of no use any more.
	ErrCorrupted = errors.New("ring is corrupted")
	// ErrTooLarge means that a record does not fit into the ring even if it is empty.
	ErrTooLarge = errors.New("record too large for the ring")
	// ErrClosed means that a ring or queue takes no items any more.
	ErrClosed = errors.New("closed for new items")
	// ErrItemType means that a queue's items are of another type.
	ErrItemType = errors.New("queue of another item type")
	// ErrNoPlace means that a ring has as many participants as it can have.
	ErrNoPlace = errors.New("no place for another participant")
	// ErrNamespace means that an MPMC ring, a queue or a pipe was made in another PID namespace: see [semaphore.ErrNamespace].
	ErrNamespace = semaphore.ErrNamespace
)
