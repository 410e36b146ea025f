package semaphore

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// A Value is a variable of type T, without pointers, that processes share, and a lock with it. [Value.Load], [Value.Store] and
// [Value.Update] take the lock. [Value.Get] and [Value.Set] do not: they are for who has it, by [Value.Mutex], or needs none, because one process
// alone writes before the others read.
//
// A Value value is one process's handle, made by [NewValue], [NewValueAt] or [AttachValue]. All methods may be called by any number of
// goroutines; it must not be copied.
//
// # Deaths
//
// There are two copies, of which a Set writes the one that is not current, and one store makes it so: a process that is killed anywhere
// leaves the value as it was or as it was to be, never a mixture. If it had the lock, the next call that takes it does what it
// is to do and returns an error that wraps [ErrOwnerDied]: of several values, or of steps that belong together, some may have been done.
//
// Whether Load waits for one that holds the lock, and in which order, is as [Mutex] says.
type Value[T any] struct {
	lock   *Mutex
	flip   *atomic.Uint32
	copies [2][]byte
	bools  []uintptr // where T has any
	home   home
}

// NewValue makes a variable with a value, in memory that it shares with other small objects of this process, and returns a handle on it. The
// caller closes the handle. Child processes get it as a part of their arguments: see package process. The error names what in T
// cannot be shared: pointers, strings, slices, maps and locks.
func NewValue[T any](initial T) (*Value[T], error) {
	v := new(Value[T])
	err := v.home.settle("value", ValueSize[T](), func(mem []byte) error { return v.make(mem, initial) })
	if err != nil {
		return nil, err
	}
	return v, nil
}

// NewValueAt makes a variable with a value in the first [ValueSize] bytes of mem and returns a handle on it. Nobody else may use those bytes
// yet; they must be aligned to 8 bytes, and better lie at the start of a cache line.
func NewValueAt[T any](mem []byte, initial T) (*Value[T], error) {
	v := new(Value[T])
	if err := v.make(mem, initial); err != nil {
		return nil, err
	}
	return v, nil
}

// AttachValue returns a handle on the variable that NewValueAt made at the start of mem, there or in another process. It fails unless
// T has the same fields, of the same names and kinds at the same places.
func AttachValue[T any](mem []byte) (*Value[T], error) {
	v := new(Value[T])
	if err := v.attach(mem); err != nil {
		return nil, fmt.Errorf("attach value: %w", err)
	}
	return v, nil
}

func (v *Value[T]) make(mem []byte, initial T) error {
	err := formatValue(mem, initial)
	if err == nil {
		err = v.attach(mem)
	}
	if err != nil {
		return fmt.Errorf("make value: %w", err)
	}
	return nil
}

// Share returns what another process needs to have the variable, for [Value.Adopt]. Package process calls it. The error wraps
// [os.ErrInvalid] if its memory is the caller's.
func (v *Value[T]) Share() (f *os.File, data []byte, ended func(), err error) {
	return v.home.share("value")
}

// Adopt makes v, which is new(Value[T]), a handle on the variable that was shared. f stays the caller's.
func (v *Value[T]) Adopt(f *os.File, data []byte) error {
	return v.home.adopt("value", f, data, v.attach)
}

// Mutex returns the lock: for several steps that belong together, or for a [Cond]. It is closed with the Value.
func (v *Value[T]) Mutex() *Mutex { return v.lock }

// Get returns the value. The caller holds the lock, or knows that nobody calls Set.
func (v *Value[T]) Get() (x T) {
	layout.Read(v.copies[v.flip.Load()&1], &x) // pairs with the store in Set
	layout.Normalise(layout.Bytes(&x), uintptr(len(v.copies[0])), v.bools)
	return x
}

// Set changes the value. The caller holds the lock, or knows that nobody calls Get or Set.
func (v *Value[T]) Set(x T) {
	next := v.flip.Load()&1 ^ 1 // plain accesses: the lock keeps others away
	layout.Write(v.copies[next], &x)
	// Killed before: nothing has changed. Pairs with the load in Get.
	v.flip.Store(next)
}

// Load returns the value. It returns another error than nil and [ErrOwnerDied] only if it could not take the lock, as [Mutex.Lock]
// says; with ErrOwnerDied, the value is there.
func (v *Value[T]) Load(ctx context.Context) (x T, err error) {
	err = locked(ctx, v.lock, func() { x = v.Get() })
	return x, err
}

// Store changes the value. With an error that wraps [ErrOwnerDied] it has, with others not.
func (v *Value[T]) Store(ctx context.Context, x T) error {
	return locked(ctx, v.lock, func() { v.Set(x) })
}

// Update has f change the value, with the lock held; f gets a copy, which becomes the value when it returns, and not if it panics. With an error that
// wraps [ErrOwnerDied] that has happened, with others not. If the process dies in f, the value is as it was.
func (v *Value[T]) Update(ctx context.Context, f func(x *T)) error {
	return locked(ctx, v.lock, func() {
		x := v.Get()
		f(&x)
		v.Set(x)
	})
}

// Close gives the handle up and, unless it is the caller's, the memory. It waits until no goroutine waits for the lock on this handle any
// more. No other call may follow or be in progress, except one that waits. Other handles are not concerned.
func (v *Value[T]) Close() error {
	return joined(v.lock.Close(), v.home.close("value"))
}
