package semaphore

import (
	"reflect"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
)

// RWMutexBodyType is the type of an RWMutex in shared memory.
var RWMutexBodyType = reflect.TypeFor[rwBody]()

// Suspect is the bit of the gate's word that says that a writer has died.
const Suspect = suspect

// MaxReaders is how many readers of a phase a handle may have, CountBits how many bits there are for them.
const (
	MaxReaders = maxReaders
	CountBits  = countBits
)

// Unbounded makes those who wait on m sleep until they are woken.
func (m *RWMutex) Unbounded() {
	for _, q := range []*Waitqueue{&m.writers.queue, &m.entering[0], &m.entering[1], &m.draining} {
		q.step = -1 * time.Nanosecond
	}
}

// Word returns the word of the writers' lock, Gate that of the gate, Count the count of a seat, and SeatOwner whose it is.
func (m *RWMutex) Word() *atomic.Uint64           { return &m.body.writers.word }
func (m *RWMutex) Gate() *atomic.Uint64           { return &m.body.gate }
func (m *RWMutex) Count(i int) *atomic.Uint64     { return &m.body.readers.seats[i].count }
func (m *RWMutex) SeatOwner(i int) *atomic.Uint64 { return &m.body.readers.seats[i].owner }

// Claim returns one of the claims to the writers' lock, and SetPassed says how often that was given back since the last turn.
func (m *RWMutex) Claim(i int) *atomic.Uint64 { return &m.body.writers.claim[i] }
func (m *RWMutex) SetPassed(n uint32)         { m.body.writers.passed.Store(n) }

// ReadersIn returns how many readers have registered on m for this phase and the next.
func (m *RWMutex) ReadersIn() uint64 {
	c := readerCount(m.readers.mine().count.Load())
	return c.of(0) + c.of(1)
}

// ID returns the ID of the process whose handle m is.
func (m *RWMutex) ID() uint64 { return uint64(m.writers.id) }

// WriterAsleep, ReaderAsleep and DrainAsleep report that somebody on this handle sleeps, or is one step before it: for the writers' lock, at
// the gate, or until readers have left.
func (m *RWMutex) WriterAsleep() bool { return m.writers.asleep() }
func (m *RWMutex) ReaderAsleep() bool { return asleepIn(&m.entering[0]) || asleepIn(&m.entering[1]) }
func (m *RWMutex) DrainAsleep() bool  { return asleepIn(&m.draining) }

func asleepIn(q *Waitqueue) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.asleep
}

// Watch has the end of who holds the lock, or wrote last, told to m from now on, as it is when somebody waits.
func (m *Mutex) Watch()   { m.lock.watch() }
func (m *RWMutex) Watch() { m.writers.watch(); m.readers.mind() }

func (l *lock) watch() {
	if holder := holderOf(l.words.word.Load()); holder != 0 {
		l.vigil.ended(holder)
	}
}

// Inherit makes the process of m's handle the holder of a lock that another has.
func (m *Mutex) Inherit()   { m.lock.inherit() }
func (m *RWMutex) Inherit() { m.writers.inherit() }

func (l *lock) inherit() {
	w := l.words.word.Load()
	l.words.word.Store(uint64(l.id) | w&claimed)
}

// InheritReader makes a reader of seat 0 one of m.
func (m *RWMutex) InheritReader() {
	phase := gateWord(m.body.gate.Load()).inside()
	m.count(phase)
	m.body.readers.seats[0].count.Add(-one(phase))
}

// SetPassed says how often the lock was given back since the last turn.
func (m *Mutex) SetPassed(n uint32) { m.lock.words.passed.Store(n) }

// Memory returns the memory of m.
func (m *RWMutex) Memory() []byte { return layout.Bytes(m.body) }
