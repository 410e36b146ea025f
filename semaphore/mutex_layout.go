package semaphore

import (
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// MutexSize is how many bytes of shared memory a [Mutex] takes.
const MutexSize = 2 * layout.Line

// claims is how many processes that wait can be served in turn.
const claims = 16

// lockWords is a lock in shared memory, behind the header of what it locks: a [Mutex], or the writers' part of an [RWMutex]. All are zero
// at first. [lock] says what they mean.
type lockWords struct {
	_ structs.HostLayout

	// word tells who holds the lock. Every change is a compare-and-swap:
	//
	//	free                 -> ID                 a process takes it
	//	ID                   -> free               the same gives it back: to whoever comes
	//	ID                   -> ID|granted         the same gives it back: to a process that has waited long
	//	ID|granted           -> ID                 that process takes it
	//	ID|granted           -> another's ID       it has ended, or let its turn pass
	//	ID|granted           -> free               nobody waits there any more
	//	ID                   -> another's ID       it has ended: what the lock guards may be half done
	//
	// Bit claimed stays as it is in all of these. It is set by those who have claimed, and cleared by who holds the lock.
	word atomic.Uint64

	sleepers atomic.Uint32 // eventcount, notified after word became free or granted
	passed   atomic.Uint32 // written by who holds the lock: how often it was given back since the last turn
	turn     atomic.Uint32 // written by who holds the lock: the number of the last turn; modulo claims, the claim that had it

	_ [layout.Line - layout.HeaderSize - 20]byte

	// claim holds the IDs of processes that wait: from 0 to an ID by that process, which also makes it 0 again; so does who takes a lock
	// that was granted to a process in its place.
	claim [claims]atomic.Uint64
}

var _ = layout.Sized[lockWords](MutexSize - layout.HeaderSize)

// Bits of lockWords.word. The rest is an owner.ID, which leaves them free for 300 years of uptime; 0 is a free lock.
const (
	claimed = 1 << 63 // there may be claims
	granted = 1 << 62 // nobody holds it; the process that is named may take it
	flags   = claimed | granted
)

func holderOf(w uint64) owner.ID { return owner.ID(w &^ flags) }

// mutexBody is a Mutex in shared memory.
type mutexBody struct {
	_      structs.HostLayout
	header layout.Header // parameter 4: see owner.Init
	lock   lockWords
}

var _ = layout.Sized[mutexBody](MutexSize)

// formatMutex makes the first bytes of mem a free mutex.
func formatMutex(mem []byte) error {
	b, err := mutexIn(mem)
	if err != nil {
		return err
	}
	clearLock(&b.lock)
	return owner.Init(mem[:MutexSize], layout.KindMutex) // the magic is stored last
}

func clearLock(w *lockWords) {
	w.word.Store(0)
	w.sleepers.Store(0)
	w.passed.Store(0)
	w.turn.Store(0)
	for i := range w.claim {
		w.claim[i].Store(0)
	}
}

// joinMutex returns the mutex in the first bytes of mem.
func joinMutex(mem []byte) (*mutexBody, error) {
	b, err := mutexIn(mem)
	if err != nil {
		return nil, err
	}
	_, err = owner.Check(mem[:MutexSize], layout.KindMutex)
	return b, err
}

func mutexIn(mem []byte) (*mutexBody, error) {
	if len(mem) < MutexSize {
		return nil, fmt.Errorf("memory of %d bytes, a mutex takes %d", len(mem), MutexSize)
	}
	return layout.At[mutexBody](mem, 0)
}
