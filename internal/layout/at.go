package layout

import (
	"fmt"
	"reflect"
	"unsafe"
)

// At returns the value of type T that lies off bytes into mem. The value is mem's
// memory: it is valid as long as mem is mapped.
func At[T any](mem []byte, off int64) (*T, error) {
	if err := checkAccess[T](mem, off, 1); err != nil {
		return nil, err
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(mem[off:]))), nil
}

// Slice returns n values of type T that lie off bytes into mem, likewise.
func Slice[T any](mem []byte, off int64, n int) ([]T, error) {
	if err := checkAccess[T](mem, off, n); err != nil {
		return nil, err
	}
	if n == 0 {
		return []T{}, nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem[off:]))), n), nil
}

// MustAt is At for offsets that the caller computed and checked itself.
func MustAt[T any](mem []byte, off int64) *T {
	p, err := At[T](mem, off)
	if err != nil {
		panic(err)
	}
	return p
}

// MustSlice is Slice for offsets that the caller computed and checked itself.
func MustSlice[T any](mem []byte, off int64, n int) []T {
	s, err := Slice[T](mem, off, n)
	if err != nil {
		panic(err)
	}
	return s
}

// Bytes returns the memory of *v. T must be free of pointers: the caller has asked
// [PointerFree] once.
func Bytes[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// SliceBytes returns the memory of s. T must be free of pointers.
func SliceBytes[T any](s []T) []byte {
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(t)))
}

// Write copies *v to the front of mem, which must be as long and aligned for T. T has no pointers.
func Write[T any](mem []byte, v *T) {
	_ = mem[:unsafe.Sizeof(*v)]
	*(*T)(unsafe.Pointer(unsafe.SliceData(mem))) = *v
}

// Read copies the front of mem to *v, as Write does the other way.
func Read[T any](mem []byte, v *T) {
	_ = mem[:unsafe.Sizeof(*v)]
	*v = *(*T)(unsafe.Pointer(unsafe.SliceData(mem)))
}

// Offset returns where in mem the byte lies to which p points. It panics if p points
// elsewhere. Neither is looked at.
func Offset(mem []byte, p *byte) int {
	off := uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	if off >= uintptr(len(mem)) {
		panic(fmt.Sprintf("layout: %p does not point into memory of %d bytes", p, len(mem)))
	}
	return int(off)
}

func checkAccess[T any](mem []byte, off int64, n int) error {
	typ := reflect.TypeFor[T]()
	fail := func(format string, args ...any) error {
		return &AccessError{Type: typ.String(), Off: off, Reason: fmt.Sprintf(format, args...)}
	}
	if err := PointerFree(typ); err != nil {
		return fail("%v", err)
	}
	size, align := int64(typ.Size()), int64(typ.Align())
	switch {
	case size == 0:
		return fail("it has no bytes")
	case n < 0:
		return fail("negative length %d", n)
	case off < 0 || off > int64(len(mem)):
		return fail("outside memory of %d bytes", len(mem))
	case int64(n) > (int64(len(mem))-off)/size:
		return fail("%d values of %d bytes end behind memory of %d bytes", n, size, len(mem))
	case (int64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))+off)%align != 0:
		return fail("not aligned to %d bytes", align)
	}
	return nil
}

// Sized panics unless a T takes size bytes. It stands beside the declaration of a
// shared struct, in a package-level variable: a program in which the struct has grown by
// mistake does not start.
func Sized[T any](size uintptr) struct{} {
	var t T
	if got := unsafe.Sizeof(t); got != size {
		panic(fmt.Sprintf("layout: %T takes %d bytes, its layout says %d", t, got, size))
	}
	return struct{}{}
}
