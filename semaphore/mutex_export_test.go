package semaphore

import (
	"reflect"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/owner"
)

// MutexBodyType is the type of a mutex in shared memory.
var MutexBodyType = reflect.TypeFor[mutexBody]()

// Bits of a lock's word.
const (
	Claimed   = claimed
	Granted   = granted
	MaxPassed = maxPassed
	Claims    = claims
)

// Memory returns the memory of a mutex that has its own.
func (m *Mutex) Memory() []byte { return m.home.piece.Bytes() }

// Unbounded makes the waiters of m sleep until they are woken.
func (m *Mutex) Unbounded() { m.lock.queue.step = -1 * time.Nanosecond }

// Become makes m a handle of another process, as far as its users see, for which no other process ever ends.
func (m *Mutex) Become(id uint64) { m.lock.become(id) }

func (l *lock) become(id uint64) {
	l.id = owner.ID(id)
	l.vigil.alive = func(owner.ID) bool { return true }
	l.vigil.onEnd = func(owner.ID, func()) (func(), error) { return func() {}, nil }
}

// Patient makes m respect a grant to another process however long it lies there.
func (m *Mutex) Patient() { m.lock.keeps = 1 << 62 }

// Word returns the word of m's lock, Sleepers the one on which those sleep who wait, Claim one of the claims.
func (m *Mutex) Word() *atomic.Uint64       { return &m.lock.words.word }
func (m *Mutex) Sleepers() *atomic.Uint32   { return &m.lock.words.sleepers }
func (m *Mutex) Claim(i int) *atomic.Uint64 { return &m.lock.words.claim[i] }

// ID returns the ID of the process whose handle m is.
func (m *Mutex) ID() uint64 { return uint64(m.lock.id) }

// Waiters returns how many goroutines wait on this handle.
func (m *Mutex) Waiters() int { return int(m.lock.queue.waiters.Load()) }

// Asleep reports that the server of this handle sleeps, or is one step before it.
func (m *Mutex) Asleep() bool { return m.lock.asleep() }

func (l *lock) asleep() bool { return asleepIn(&l.queue) }
