package semaphore

import (
	"context"
	"fmt"
	"os"
)

// An Array is a fixed number of elements of type T, without pointers, that processes share, and a lock with them. [Array.Load] and
// [Array.Store] take the lock, for one element. [Array.Slice] does not: the slice is for who has it, by [Array.Mutex], or needs
// none, because no two processes use the same elements at a time.
//
// An Array value is one process's handle, made by [NewArray], [NewArrayAt] or [AttachArray]. All methods may be called by any number of
// goroutines; it must not be copied.
//
// A T has no bools: in the slice of one process, another could make them neither true nor false. A uint8 does as well.
//
// # Deaths
//
// Elements are written where they are. Who is killed while it writes leaves what it has written; if it held the lock, the next who takes
// it is told, by an error that wraps [ErrOwnerDied], and sees to it. Who need not know locks [Array.Mutex] and passes over that error.
type Array[T any] struct {
	lock  *Mutex
	elems []T
	home  home
}

// NewArray makes an array of n elements, at least 1, all zero, in shared memory: if it is small, in that of other small objects of this process. It
// returns a handle on it, which the caller closes. Child processes get it as a part of their arguments: see package process. The
// error names what in T cannot be shared.
func NewArray[T any](n int) (*Array[T], error) {
	size, err := sizeOfArray[T](n)
	if err != nil {
		return nil, fmt.Errorf("make array: %w", err)
	}
	a := new(Array[T])
	if err := a.home.settle("array", size, func(mem []byte) error { return a.make(mem, n) }); err != nil {
		return nil, err
	}
	return a, nil
}

// NewArrayAt makes an array of n elements, all zero, in the first [ArraySize] bytes of mem and returns a handle on it. Nobody else may use those
// bytes yet; they must be aligned to 8 bytes, and better lie at the start of a cache line.
func NewArrayAt[T any](mem []byte, n int) (*Array[T], error) {
	a := new(Array[T])
	if err := a.make(mem, n); err != nil {
		return nil, err
	}
	return a, nil
}

// AttachArray returns a handle on the array that NewArrayAt made at the start of mem, there or in another process. It fails unless
// T has the same fields, of the same names and kinds at the same places.
func AttachArray[T any](mem []byte) (*Array[T], error) {
	a := new(Array[T])
	if err := a.attach(mem); err != nil {
		return nil, fmt.Errorf("attach array: %w", err)
	}
	return a, nil
}

func (a *Array[T]) make(mem []byte, n int) error {
	err := formatArray[T](mem, n)
	if err == nil {
		err = a.attach(mem)
	}
	if err != nil {
		return fmt.Errorf("make array: %w", err)
	}
	return nil
}

// Share returns what another process needs to have the array, for [Array.Adopt]. Package process calls it. The error wraps
// [os.ErrInvalid] if its memory is the caller's.
func (a *Array[T]) Share() (f *os.File, data []byte, ended func(), err error) {
	return a.home.share("array")
}

// Adopt makes a, which is new(Array[T]), a handle on the array that was shared. f stays the caller's.
func (a *Array[T]) Adopt(f *os.File, data []byte) error {
	return a.home.adopt("array", f, data, a.attach)
}

// Mutex returns the lock: for all that is more than one element, or for a [Cond]. It is closed with the Array.
func (a *Array[T]) Mutex() *Mutex { return a.lock }

// Len returns how many elements there are.
func (a *Array[T]) Len() int { return len(a.elems) }

// Slice returns the elements themselves, which others may change; not a copy. It is valid until Close. The caller holds the lock while it uses
// them, or knows that nobody else uses the same.
func (a *Array[T]) Slice() []T { return a.elems }

// Load returns element i. It panics if there is none. It returns another error than nil and [ErrOwnerDied] only if it could not take the
// lock, as [Mutex.Lock] says; with ErrOwnerDied, the element is there, as the dead have left it.
func (a *Array[T]) Load(ctx context.Context, i int) (x T, err error) {
	elem := &a.elems[i]
	err = locked(ctx, a.lock, func() { x = *elem })
	return x, err
}

// Store changes element i. It panics if there is none. With an error that wraps [ErrOwnerDied] it has, with others not.
func (a *Array[T]) Store(ctx context.Context, i int, x T) error {
	elem := &a.elems[i]
	return locked(ctx, a.lock, func() { *elem = x })
}

// Close gives the handle up and, unless it is the caller's, the memory. It waits until no goroutine waits for the lock on this handle any
// more. No other call may follow or be in progress, except one that waits. Other handles are not concerned.
func (a *Array[T]) Close() error {
	return joined(a.lock.Close(), a.home.close("array"))
}
