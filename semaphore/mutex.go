package semaphore

import (
	"context"
	"fmt"
	"os"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// A Mutex is a sync.Mutex of several processes, from which a process that dies takes nothing along: the next who locks it is told, by
// [ErrOwnerDied], and has the lock.
//
// A Mutex value is one process's handle, made by [NewMutex], [NewMutexAt] or [AttachMutex]. All methods may be called by any number of
// goroutines; it must not be copied. The memory must stay mapped until [Mutex.Close] has returned.
//
// It is the process that holds the lock, as with a sync.Mutex: any of its goroutines may unlock it, through any of its handles. It is not
// recursive: who locks it twice waits for itself.
//
// # Fairness
//
// Goroutines of one handle that have looked for some 10 microseconds in vain are served in the order in which they came, and later
// ones do not overtake them. Processes may overtake each other, so that the lock need not wait for one to wake
// up; but before a process goes to sleep it claims its turn. While there are claims, every 65th unlock grants the lock to the next
// process that has one, in turn, and to nobody else: at most 16 × 65 unlocks pass before a process that has claimed gets the lock. No more than 16
// processes can have a claim at once; others that wait have no such bound meanwhile. A process to which the lock was granted
// and that does not take it for a [Step], as it was stopped, loses its turn.
type Mutex struct {
	lock lock
	home home
}

// NewMutex makes a mutex in memory that it shares with other small objects of this process, and returns a handle on it. The caller closes
// the handle. Child processes get it as a part of their arguments: see package process.
func NewMutex() (*Mutex, error) {
	m := new(Mutex)
	if err := m.home.settle("mutex", MutexSize, m.make); err != nil {
		return nil, err
	}
	return m, nil
}

// NewMutexAt makes a mutex in the first [MutexSize] bytes of mem and returns a handle on it. Nobody else may use those bytes yet; they
// must be aligned to 8 bytes, and better lie at the start of a cache line.
func NewMutexAt(mem []byte) (*Mutex, error) {
	m := new(Mutex)
	if err := m.make(mem); err != nil {
		return nil, err
	}
	return m, nil
}

// AttachMutex returns a handle on the mutex that NewMutexAt made at the start of mem, there or in another process.
func AttachMutex(mem []byte) (*Mutex, error) {
	m := new(Mutex)
	if err := m.attach(mem); err != nil {
		return nil, fmt.Errorf("attach mutex: %w", err)
	}
	return m, nil
}

func (m *Mutex) make(mem []byte) error {
	err := formatMutex(mem)
	if err == nil {
		err = m.attach(mem)
	}
	if err != nil {
		return fmt.Errorf("make mutex: %w", err)
	}
	return nil
}

func (m *Mutex) attach(mem []byte) error {
	if err := sys.CheckFutex(); err != nil {
		return err
	}
	b, err := joinMutex(mem)
	if err != nil {
		return err
	}
	id, err := owner.Self()
	if err != nil {
		return err
	}
	m.lock.init("mutex", &b.lock, id)
	return nil
}

// Share returns what another process needs to have the mutex, for [Mutex.Adopt]. Package process calls it. The error wraps
// [os.ErrInvalid] if the mutex is one of NewMutexAt or AttachMutex, whose memory is not its own.
func (m *Mutex) Share() (f *os.File, data []byte, ended func(), err error) {
	return m.home.share("mutex")
}

// Adopt makes m, which is new(Mutex), a handle on the mutex that was shared. f stays the caller's.
func (m *Mutex) Adopt(f *os.File, data []byte) error {
	return m.home.adopt("mutex", f, data, m.attach)
}

// Lock waits until it has the lock, or ctx has ended. It returns
//
//   - nil: the caller has the lock, also if ctx has ended just then;
//   - an error that wraps [ErrOwnerDied]: the caller has the lock, and the one before died with it. What the lock guards may be half done: see
//     to it, and go on. It is told once: to the next, unless that one dies too before it unlocks;
//   - ctx.Err(), also if ctx had ended before the call, or an [ErrCorrupted]: the caller does not have the lock.
//
// A holder that is merely stopped holds the lock.
func (m *Mutex) Lock(ctx context.Context) error { return m.lock.acquire(ctx) }

// TryLock locks the mutex and reports true if it is free and nobody waits on this handle; it never blocks. If another process holds
// the lock it asks the system whether that one lives, which takes some microseconds: as with Lock, it may return true and an
// error that wraps [ErrOwnerDied]. An [ErrCorrupted] comes with false.
func (m *Mutex) TryLock() (bool, error) {
	return m.lock.tryAcquire()
}

// Unlock gives the lock back and wakes one who waits for it. It panics if no goroutine of this process holds it.
func (m *Mutex) Unlock() { m.lock.release() }

// Close gives the handle up and, unless it is the caller's, the memory. It waits until no goroutine waits on this handle any more. No
// other call may follow or be in progress, except one that waits. Other handles are not concerned, and a lock that is held stays so.
func (m *Mutex) Close() error {
	m.lock.close()
	return m.home.close("mutex")
}
