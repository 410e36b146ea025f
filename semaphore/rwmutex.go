package semaphore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// An RWMutex is a sync.RWMutex of several processes, from which one that dies takes nothing along: dead readers do not count, and after the
// death of a writer everybody who locks it is told, by [ErrOwnerDied], until one has written again.
//
// An RWMutex value is one process's handle, made by [NewRWMutex], [NewRWMutexAt] or [AttachRWMutex]; there can be [Seats] of them at
// once. All methods may be called by any number of goroutines; it must not be copied. The memory must stay mapped until
// [RWMutex.Close] has returned.
//
// It is not recursive: who has the read lock and asks for it again, while a writer waits, waits for itself, as does a writer that
// asks for anything. A read lock belongs to its handle, a write lock to its process. A handle can have 524,288 readers at a time, and as many
// that wait: one more is refused.
//
// Read locks without writers cost no system call, and those of different handles touch no line in common that is written to.
//
// # Fairness
//
// Readers and writers take turns. A reader that comes while a writer waits, or writes, waits for this one writer, and no other gets the lock
// before it has. A writer that has the turn waits for those readers who were there before it, and no other gets the lock before
// it has. Writers among each other are served as those who lock a [Mutex]. A writer whose context ends lets the readers in;
// those who are not awake before the next writer comes wait for that one.
//
// # Source
//
// Phases are those of the phase-fair locks by Brandenburg and Anderson (Spin-Based Reader-Writer Synchronization for Multiprocessor
// Real-Time Systems, 2010); here each process has a count of its own, so that those of the dead can be told apart.
type RWMutex struct {
	body    *rwBody
	writers lock
	readers table

	entering [2]Waitqueue   // readers who wait for the gate: those of even phases, and of odd ones
	draining Waitqueue      // the writer who waits for readers
	waits    sync.WaitGroup // calls that wait there, or are about to

	read atomic.Uint32 // for the race detector: its address, never its value
	home home
}

// NewRWMutex makes a lock in memory that it shares with other small objects of this process, and returns a handle on it. The caller closes
// the handle. Child processes get it as a part of their arguments: see package process.
func NewRWMutex() (*RWMutex, error) {
	m := new(RWMutex)
	if err := m.home.settle("RWMutex", RWMutexSize, m.make); err != nil {
		return nil, err
	}
	return m, nil
}

// NewRWMutexAt makes a lock in the first [RWMutexSize] bytes of mem and returns a handle on it. Nobody else may use those bytes yet; they
// must be aligned to 8 bytes, and better lie at the start of a cache line.
func NewRWMutexAt(mem []byte) (*RWMutex, error) {
	m := new(RWMutex)
	if err := m.make(mem); err != nil {
		return nil, err
	}
	return m, nil
}

// AttachRWMutex returns a handle on the lock that NewRWMutexAt made at the start of mem, there or in another process. The error wraps
// [ErrNoSeat] if there are too many.
func AttachRWMutex(mem []byte) (*RWMutex, error) {
	m := new(RWMutex)
	if err := m.attach(mem); err != nil {
		return nil, fmt.Errorf("attach RWMutex: %w", err)
	}
	return m, nil
}

func (m *RWMutex) make(mem []byte) error {
	err := formatRWMutex(mem)
	if err == nil {
		err = m.attach(mem)
	}
	if err != nil {
		return fmt.Errorf("make RWMutex: %w", err)
	}
	return nil
}

func (m *RWMutex) attach(mem []byte) error {
	if err := sys.CheckFutex(); err != nil {
		return err
	}
	b, err := joinRWMutex(mem)
	if err != nil {
		return err
	}
	id, err := owner.Self()
	if err != nil {
		return err
	}
	m.become(b, id)
	if err := m.readers.join(&b.readers, m.bury); err != nil {
		return err
	}
	m.number()
	return nil
}

func (m *RWMutex) become(b *rwBody, id owner.ID) {
	m.body = b
	m.writers.init("RWMutex", &b.writers, id)
	m.writers.vigil.tell = func() {
		m.writers.on().Rouse()
		m.opened().Rouse()
	}
	m.entering[0].init()
	m.entering[1].init()
	m.draining.init()
}

// number gives the count of this handle's seat its own number: see readerCount. Of two handles that have a seat one after the other, the
// second finds the roll raised.
func (m *RWMutex) number() {
	m.readers.mine().count.Store(uint64(m.body.readers.joined.Load()) << (2 * countBits))
}

func (m *RWMutex) opened() Eventcount  { return EventcountOn(&m.body.opened) }
func (m *RWMutex) drained() Eventcount { return EventcountOn(&m.body.drained) }

// Share returns what another process needs to have the lock, for [RWMutex.Adopt]. Package process calls it. The error wraps
// [os.ErrInvalid] if the lock is one of NewRWMutexAt or AttachRWMutex, whose memory is not its own.
func (m *RWMutex) Share() (f *os.File, data []byte, ended func(), err error) {
	return m.home.share("RWMutex")
}

// Adopt makes m, which is new(RWMutex), a handle on the lock that was shared. f stays the caller's.
func (m *RWMutex) Adopt(f *os.File, data []byte) error {
	return m.home.adopt("RWMutex", f, data, m.attach)
}

// Lock waits until it has the lock alone, or ctx has ended. It returns
//
//   - nil: the caller has the lock;
//   - an error that wraps [ErrOwnerDied]: the caller has the lock, and a writer died with it, after which none has unlocked it. What the lock
//     guards may be half done: see to it, and go on;
//   - ctx.Err(), also if ctx had ended before the call, or an [ErrCorrupted]: the caller does not have the lock.
//
// A reader or writer that is merely stopped has what it has.
func (m *RWMutex) Lock(ctx context.Context) error {
	m.waits.Add(1)
	defer m.waits.Done() // after the gate is as it is to stay
	if err := m.writers.acquire(ctx); err != nil && !errors.Is(err, ErrOwnerDied) {
		return err
	}
	return m.write(ctx)
}

// TryLock takes the lock alone and reports true if nobody has it and nobody waits for it to write on this handle; it never blocks. It asks the system
// whether those live who are in its way, which takes some microseconds for each. As with Lock, it may return true and an error that
// wraps [ErrOwnerDied]. An [ErrCorrupted] comes with false.
func (m *RWMutex) TryLock() (bool, error) {
	ok, err := m.writers.tryAcquire()
	if !ok {
		return false, err
	}
	return m.tryWrite()
}

// Unlock gives up the lock of a writer, and wakes those who wait. It panics if no writer of this process has it.
func (m *RWMutex) Unlock() {
	g := gateWord(m.body.gate.Load())
	if m.body.writers.word.Load()&^claimed != uint64(m.writers.id) || !g.closed() {
		panic("semaphore: unlock of an RWMutex that no writer of this process holds")
	}
	sys.RaceRelease(&m.writers.order)
	// Hands over all that was written; pairs with the loads in enter, arrive and look.
	m.body.gate.Store(g.number() + 1)
	// Killed here: readers find the gate open within Step, and the next writer finds the writers' lock a dead process's, and the gate open.
	m.opened().NotifyAll()
	m.writers.release()
}

// RLock waits until it has the lock, which other readers may have at the same time, or ctx has ended. It returns what [RWMutex.Lock] does;
// with [ErrOwnerDied] the caller has the read lock, and must take into account that what it reads may be half done. It also fails if this handle
// has as many readers as it can have: then some have not called RUnlock.
func (m *RWMutex) RLock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if g, ok := m.enter(); ok {
		return m.entered(g)
	}
	return m.arriveAndWait(ctx)
}

// TryRLock takes the read lock and reports true if no writer has the lock or waits for it; it never blocks. If another process does,
// it asks the system whether that one lives. As with RLock, it may return true and an error that wraps [ErrOwnerDied]. An [ErrCorrupted] comes
// with false.
func (m *RWMutex) TryRLock() (bool, error) {
	g, ok := m.enter()
	if !ok {
		if err := m.relieve(func(w uint64) bool { return holderOf(w) != m.writers.id && !m.writers.vigil.alive(holderOf(w)) }); err != nil {
			return false, err
		}
		if g, ok = m.enter(); !ok {
			return false, m.full(g.next())
		}
	}
	return true, m.entered(g)
}

// RUnlock gives up a read lock of this handle, and wakes the writer if it waits for that. It panics if this handle has none.
func (m *RWMutex) RUnlock() {
	sys.RaceRelease(&m.read)
	phase := gateWord(m.body.gate.Load()).inside()
	if readerCount(m.readers.mine().count.Load()).of(phase) == 0 {
		panic("semaphore: RUnlock of an RWMutex that this handle does not have to read")
	}
	m.retreat(phase)
}

// Close gives the handle up and, unless it is the caller's, the memory. It waits until no goroutine waits on this handle any more. No other
// call may follow or be in progress, except one that waits, and this handle has no read lock any more. Other handles are not
// concerned, and a write lock stays the process's.
func (m *RWMutex) Close() error {
	m.waits.Wait()
	m.writers.close()
	m.entering[0].Drain()
	m.entering[1].Drain()
	m.draining.Drain()
	return errors.Join(m.readers.leave(), m.home.close("RWMutex"))
}
