package layout

import (
	"bytes"
	"reflect"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

type record struct {
	n     uint32
	name  string
	items []uint16
}

func TestMemoryFields(t *testing.T) {
	v := record{n: 0x01020304, name: "old", items: []uint16{1, 2}}
	m := MemoryOf(&v)
	assert.Equal(t, []byte{4, 3, 2, 1}, m.Plain(unsafe.Offsetof(v.n), 4))
	assert.Equal(t, []byte{1, 0, 2, 0}, m.Slice(unsafe.Offsetof(v.items), 2))

	*m.String(unsafe.Offsetof(v.name)) = string([]byte("new"))
	m.SetSlice(unsafe.Offsetof(v.items), 2, Clone([]byte{5, 0, 6, 0, 7, 0}))
	runtime.GC() // must find what was stored
	assert.Equal(t, record{0x01020304, "new", []uint16{5, 6, 7}}, v)
	assert.Equal(t, 3, cap(v.items))
}

func TestMemoryNilSlices(t *testing.T) {
	var s []uint64
	m := MemoryOf(&s)
	assert.Nil(t, m.Slice(0, 8))
	m.SetSlice(0, 8, []byte{})
	assert.NotNil(t, s)
	assert.Empty(t, s)
	assert.NotNil(t, m.Slice(0, 8))
	m.SetSlice(0, 8, nil)
	assert.Nil(t, s)
}

func TestMemoryBounds(t *testing.T) {
	m := MemoryOf(new(record))
	size := unsafe.Sizeof(record{})
	assert.NotPanics(t, func() { m.Plain(size, 0) })
	for _, field := range [][2]uintptr{{size, 1}, {size + 1, 0}, {0, size + 1}, {^uintptr(0), 2}, {1, ^uintptr(0)}} {
		assert.Panics(t, func() { m.Plain(field[0], field[1]) })
	}
	assert.Panics(t, func() { m.String(size - 8) })
	assert.Panics(t, func() { m.Slice(size-16, 1) })
}

func TestCloneIsAligned(t *testing.T) {
	for n := range 2000 {
		b := Clone(bytes.Repeat([]byte{byte(n)}, n))
		assert.True(t, Aligned(b, 8), "%d bytes", n)
		assert.Equal(t, bytes.Repeat([]byte{byte(n)}, n), b)
	}
	assert.NotNil(t, Clone(nil))
}

func TestCloneIsACopy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := rapid.SliceOf(rapid.Byte()).Draw(t, "src")
		want, clone := bytes.Clone(src), Clone(src)
		clear(src)
		assert.True(t, bytes.Equal(want, clone))
	})
}

// TestSliceHeader: the runtime's slices are laid out as this package believes.
func TestSliceHeader(t *testing.T) {
	s := make([]uint16, 3, 5)
	h := *(*slice)(unsafe.Pointer(&s))
	assert.Equal(t, slice{unsafe.Pointer(&s[0]), 3, 5}, h)
	assert.Equal(t, reflect.TypeFor[[]byte]().Size(), unsafe.Sizeof(slice{}))
}

func TestMemoryValue(t *testing.T) {
	v := &struct {
		n uint32
		p *record
	}{n: 1}
	m, off := MemoryOf(v), unsafe.Offsetof(v.p)
	field := m.Value(off, reflect.TypeFor[*record]())
	assert.True(t, field.IsNil())
	field.Set(reflect.ValueOf(&record{n: 7}))
	runtime.GC() // must find what was stored
	assert.EqualValues(t, 7, v.p.n)
	assert.Same(t, v.p, m.Value(off, reflect.TypeFor[*record]()).Interface())
	assert.Same(t, &v.p, field.Addr().Interface())
	assert.Panics(t, func() { m.Value(off+1, reflect.TypeFor[*record]()) })
	assert.Panics(t, func() { m.Value(0, reflect.TypeFor[[3]uint64]()) })
}
