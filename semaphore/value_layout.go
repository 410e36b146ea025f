package semaphore

import (
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// ValueSize returns how many bytes of shared memory a [Value] of type T takes.
func ValueSize[T any]() int64 { return boxSize + 2*copySize[T]() }

// copySize is that of one copy of a value: each has its own lines, so that none has a line with the lock.
func copySize[T any]() int64 {
	return layout.Align(max(int64(reflect.TypeFor[T]().Size()), 1), layout.Line)
}

// formatValue makes the first bytes of mem a variable.
func formatValue[T any](mem []byte, initial T) error {
	if err := checkBox(mem, reflect.TypeFor[T](), ValueSize[T](), layout.PointerFree); err != nil {
		return err
	}
	if err := formatMutex(mem[layout.Line:]); err != nil {
		return err
	}
	layout.MustAt[boxBody](mem, 0).flip.Store(0)
	size := int64(reflect.TypeFor[T]().Size())
	layout.Write(mem[boxSize:boxSize+size], &initial)
	return owner.Init(mem[:boxSize], layout.KindValue, boxParams[T]()...) // the magic is stored last
}

// attach makes v, which is new, a handle on the variable in mem.
func (v *Value[T]) attach(mem []byte) error {
	t, size := reflect.TypeFor[T](), ValueSize[T]()
	if err := checkBox(mem, t, size, layout.PointerFree); err != nil {
		return err
	}
	if _, err := openBox[T](mem, layout.KindValue); err != nil {
		return err
	}
	var err error
	if v.lock, err = AttachMutex(mem[layout.Line:]); err != nil {
		return err
	}
	v.flip = &layout.MustAt[boxBody](mem, 0).flip
	for i := range v.copies {
		at := boxSize + int64(i)*copySize[T]()
		v.copies[i] = mem[at : at+int64(t.Size())]
	}
	v.bools = layout.Bools(t)
	return nil
}
