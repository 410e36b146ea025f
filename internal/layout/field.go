package layout

import (
	"fmt"
	"reflect"
	"unsafe"
)

// Memory is a Go value of any type, seen as fields at the offsets that reflection
// gives for them. It keeps the value alive. Whoever asks for a field says what it is and
// has that from the value's reflect.Type: only the bounds are checked here.
type Memory struct {
	base unsafe.Pointer
	size uintptr
}

// MemoryOf returns the memory of *v.
func MemoryOf[T any](v *T) Memory {
	return Memory{unsafe.Pointer(v), unsafe.Sizeof(*v)}
}

// Plain returns the size bytes at off, which hold no pointers.
func (m Memory) Plain(off, size uintptr) []byte {
	return unsafe.Slice((*byte)(m.at(off, size)), size)
}

// String returns the string at off.
func (m Memory) String(off uintptr) *string {
	return (*string)(m.at(off, unsafe.Sizeof("")))
}

// Slice returns the elements of the slice at off as bytes: nil for a nil slice. They
// hold no pointers and have elem bytes each.
func (m Memory) Slice(off, elem uintptr) []byte {
	s := (*slice)(m.at(off, unsafe.Sizeof(slice{})))
	if s.data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(s.data), uintptr(s.len)*elem)
}

// SetSlice makes the slice at off the elements of elem bytes each in b, without
// copying them: nil if b is nil. b is aligned for them and holds whole ones. The slice
// ends where b ends, so that an append to it leaves what follows b alone.
func (m Memory) SetSlice(off, elem uintptr, b []byte) {
	s := (*slice)(m.at(off, unsafe.Sizeof(slice{})))
	n := len(b) / int(elem)
	*s = slice{unsafe.Pointer(unsafe.SliceData(b)), n, n}
}

// Value returns the field of type t at off. It can be set and has an address. Unlike
// with the other methods, the value that m was made of lives on the heap.
func (m Memory) Value(off uintptr, t reflect.Type) reflect.Value {
	return reflect.NewAt(t, m.at(off, t.Size())).Elem()
}

// slice is how the Go runtime lays out every slice.
type slice struct {
	data     unsafe.Pointer
	len, cap int
}

func (m Memory) at(off, size uintptr) unsafe.Pointer {
	if off > m.size || size > m.size-off {
		panic(fmt.Sprintf("layout: field of %d bytes at offset %d of a value of %d bytes", size, off, m.size))
	}
	if size == 0 {
		return m.base // a field of no size may lie behind the value, where no pointer may point
	}
	return unsafe.Add(m.base, off)
}

// Aligned reports whether b starts at a multiple of align, a power of two.
func Aligned(b []byte, align uintptr) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&(align-1) == 0
}

// Clone returns a copy of b in memory of its own that is aligned for every Go type
// without pointers. It is not nil.
func Clone(b []byte) []byte {
	// The allocator aligns small objects to their size only; words are aligned.
	const small = 16
	if len(b) < small {
		var words [small / 8]uint64
		clone := words[:]
		return append(SliceBytes(clone)[:0], b...)
	}
	return append([]byte(nil), b...) // unlike make and copy, this clears nothing first
}
