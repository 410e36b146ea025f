package semaphore

import (
	"fmt"
	"math"
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// ArraySize returns how many bytes of shared memory an [Array] of n elements of type T takes. It panics if there is none of that length.
func ArraySize[T any](n int) int64 {
	size, err := sizeOfArray[T](n)
	if err != nil {
		panic("semaphore: size of array: " + err.Error())
	}
	return size
}

func sizeOfArray[T any](n int) (int64, error) {
	size := max(int64(reflect.TypeFor[T]().Size()), 1)
	if n < 1 || int64(n) > (math.MaxInt64-boxSize)/size {
		return 0, fmt.Errorf("%d elements of %d bytes: want at least 1, and fewer than memory has bytes", n, size)
	}
	return boxSize + int64(n)*size, nil
}

// formatArray makes the first bytes of mem an array of n zeros.
func formatArray[T any](mem []byte, n int) error {
	size, err := sizeOfArray[T](n)
	if err != nil {
		return err
	}
	if err := checkBox(mem, reflect.TypeFor[T](), size, layout.Viewable); err != nil {
		return err
	}
	if err := formatMutex(mem[layout.Line:]); err != nil {
		return err
	}
	clear(mem[boxSize:size])
	return owner.Init(mem[:boxSize], layout.KindArray, append(boxParams[T](), uint64(n))...) // the magic is stored last
}

// attach makes a, which is new, a handle on the array in mem.
func (a *Array[T]) attach(mem []byte) error {
	if err := checkBox(mem, reflect.TypeFor[T](), boxSize, layout.Viewable); err != nil {
		return err
	}
	params, err := openBox[T](mem, layout.KindArray)
	if err != nil {
		return err
	}
	n := int64(min(params[2], math.MaxInt64))
	size := int64(reflect.TypeFor[T]().Size())
	if n < 1 || n > (int64(len(mem))-boxSize)/size {
		return fmt.Errorf("%d elements of %d bytes in memory of %d: %w", params[2], size, len(mem), ErrCorrupted)
	}
	if a.elems, err = layout.Slice[T](mem, boxSize, int(n)); err != nil {
		return err
	}
	a.lock, err = AttachMutex(mem[layout.Line:])
	return err
}
