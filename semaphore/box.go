package semaphore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// boxBody is what a Value and an Array begin with in shared memory. What they hold lies behind it.
type boxBody struct {
	_      structs.HostLayout
	header layout.Header // parameters 0: fingerprint of T; 1: bytes of a T; 2: how many there are, in an array; 4: see owner.Init

	// flip is which copy of a value is current, by its bit 0. Written by who holds the lock.
	flip atomic.Uint32

	_    [layout.Line - layout.HeaderSize - 4]byte
	lock mutexBody
}

const boxSize = layout.Line + MutexSize

var _ = layout.Sized[boxBody](boxSize)

// boxParams are the parameters of a value, and the first of an array.
func boxParams[T any]() []uint64 {
	t := reflect.TypeFor[T]()
	return []uint64{layout.Fingerprint(t), uint64(t.Size())}
}

// checkBox says what is wrong with a type, or with memory for it.
func checkBox(mem []byte, t reflect.Type, size int64, able func(reflect.Type) error) error {
	switch err := able(t); {
	case err != nil:
		return err
	case t.Size() == 0:
		return fmt.Errorf("%s has no bytes", t)
	case int64(len(mem)) < size:
		return fmt.Errorf("memory of %d bytes, it takes %d", len(mem), size)
	}
	_, err := layout.At[boxBody](mem, 0)
	return err
}

// openBox returns the parameters of what lies in mem, if it is a kind with elements of type T.
func openBox[T any](mem []byte, kind layout.Kind) (params [5]uint64, err error) {
	if params, err = owner.Check(mem[:boxSize], kind); err != nil {
		return params, err
	}
	if want := boxParams[T](); params[0] != want[0] || params[1] != want[1] {
		return params, fmt.Errorf("made for a type of %d bytes with fingerprint %#x, %s has %d and %#x: %w",
			params[1], params[0], reflect.TypeFor[T](), want[1], want[0], layout.ErrParams)
	}
	return params, nil
}

// locked calls f with the lock held, unless that cannot be had.
func locked(ctx context.Context, m *Mutex, f func()) error {
	m.lock.waits.Add(1) // until f has been called: who has waited uses the memory, and Close waits for that
	defer m.lock.waits.Done()
	err := m.Lock(ctx)
	if err == nil || errors.Is(err, ErrOwnerDied) {
		defer m.Unlock()
		f()
	}
	return err
}
