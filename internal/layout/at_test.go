package layout

import (
	"bytes"
	"math"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type pair struct {
	a uint64
	b uint16
}

// words returns n bytes that start at a multiple of 64.
func words(n int) []byte {
	mem := make([]byte, n+64)
	for !Aligned(mem, 64) {
		mem = mem[1:]
	}
	return mem[:n:n]
}

func TestAtIsTheMemory(t *testing.T) {
	mem := words(64)
	p, err := At[pair](mem, 8)
	require.NoError(t, err)
	p.a, p.b = 0x0102030405060708, 9
	assert.Equal(t, []byte{8, 7, 6, 5, 4, 3, 2, 1, 9, 0}, mem[8:18])
	assert.Equal(t, mem[8:24], Bytes(p))

	s := MustSlice[uint16](mem, 8, 4)
	s[3] = 0xbeef
	assert.EqualValues(t, 0xbeef, p.a>>48)
	assert.Equal(t, 4, cap(s), "an append would leave the slice's part of memory")
	assert.Equal(t, mem[8:16], SliceBytes(s))
}

func TestAtRefuses(t *testing.T) {
	mem := words(64)
	for want, err := range map[string]error{
		"view layout.pair at offset 56: 1 values of 16 bytes end behind memory of 64 bytes":            second(At[pair](mem, 56)),
		"view layout.pair at offset 4: not aligned to 8 bytes":                                         second(At[pair](mem, 4)),
		"view uint8 at offset -1: outside memory of 64 bytes":                                          second(At[byte](mem, -1)),
		"view uint8 at offset 65: outside memory of 64 bytes":                                          second(At[byte](mem, 65)),
		"view uint8 at offset 64: 1 values of 1 bytes end behind memory of 64 bytes":                   second(At[byte](mem, 64)),
		"view uint8 at offset 9223372036854775807: outside memory of 64 bytes":                         second(At[byte](mem, math.MaxInt64)),
		"view uint32 at offset 8: 15 values of 4 bytes end behind memory of 64 bytes":                  second(Slice[uint32](mem, 8, 15)),
		"view uint64 at offset 0: 2305843009213693953 values of 8 bytes end behind memory of 64 bytes": second(Slice[uint64](mem, 0, 1<<61+1)),
		"view uint64 at offset 0: negative length -1":                                                  second(Slice[uint64](mem, 0, -1)),
		"view uint64 at offset 1: not aligned to 8 bytes":                                              second(Slice[uint64](mem, 1, 0)),
		"view uint16 at offset 0: not aligned to 2 bytes":                                              second(At[uint16](mem[1:], 0)),
		"view *int at offset 0: *int is a ptr, which means nothing in another process":                 second(At[*int](mem, 0)),
		"view string at offset 0: string is a string, which means nothing in another process":          second(Slice[string](mem, 0, 0)),
		"view uint8 at offset 0: 1 values of 1 bytes end behind memory of 0 bytes":                     second(At[byte](nil, 0)),
		"view struct {} at offset 0: it has no bytes":                                                  second(At[struct{}](mem, 0)),
		"view [0]uint64 at offset 0: it has no bytes":                                                  second(Slice[[0]uint64](nil, 0, 5)),
	} {
		assert.EqualError(t, err, want)
		var access *AccessError
		assert.ErrorAs(t, err, &access)
	}
	assert.Panics(t, func() { MustAt[pair](mem, 56) })
	assert.Panics(t, func() { MustSlice[pair](mem, 0, 5) })
}

func second[T any](_ T, err error) error { return err }

func TestSliceAtTheEnd(t *testing.T) {
	mem := words(64)
	s, err := Slice[uint64](mem, 64, 0)
	require.NoError(t, err)
	assert.NotNil(t, s)
	assert.Empty(t, s)
	s, err = Slice[uint64](mem, 0, 8)
	require.NoError(t, err)
	assert.Len(t, s, 8)
	assert.Nil(t, SliceBytes[uint64](nil))
	assert.NotNil(t, SliceBytes([]uint64{}))
}

func TestWriteAndRead(t *testing.T) {
	mem := make([]byte, 24)
	want := pair{1, 2}
	Write(mem[8:], &want)
	assert.Equal(t, want, *MustAt[pair](mem, 8))
	var got pair
	Read(mem[8:], &got)
	assert.Equal(t, want, got)
	assert.Panics(t, func() { Write(mem[12:], &want) })
	assert.Panics(t, func() { Read(mem[12:], &got) })
}

func TestAlign(t *testing.T) {
	assert.Equal(t, 0, Align(0, 8))
	assert.Equal(t, 8, Align(1, 8))
	assert.Equal(t, 8, Align(8, 8))
	assert.Equal(t, int64(256), Align(int64(129), Line))
}

// FuzzAccess: whatever is asked for, what is granted is aligned and inside.
func FuzzAccess(f *testing.F) {
	f.Add(64, int64(0), 8, 0)
	f.Add(64, int64(8), 7, 1)
	f.Add(0, int64(0), 0, 0)
	f.Add(99, int64(53), 0, 46) // nothing, at the odd end
	f.Add(16, int64(math.MaxInt64), math.MaxInt, 3)
	f.Add(16, int64(math.MinInt64), math.MinInt, 7)
	f.Fuzz(func(t *testing.T, size int, off int64, n, shift int) {
		mem := words(int(uint(size) % 4096))[min(int(uint(shift)%64), int(uint(size)%4096)):]
		checkGranted[byte](t, mem, off, n)
		checkGranted[uint32](t, mem, off, n)
		checkGranted[pair](t, mem, off, n)
		checkGranted[[3]uint16](t, mem, off, n)
	})
}

func checkGranted[T any](t *testing.T, mem []byte, off int64, n int) {
	var zero T
	s, err := Slice[T](mem, off, n)
	fits := off >= 0 && n >= 0 && n <= len(mem) && off <= int64(len(mem)) &&
		int64(n)*int64(unsafe.Sizeof(zero)) <= int64(len(mem))-off &&
		(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))+uintptr(off))%unsafe.Alignof(zero) == 0
	require.Equal(t, fits, err == nil, "%v", err)
	if n == 1 {
		p, err := At[T](mem, off)
		require.Equal(t, fits, err == nil, "%v", err)
		require.True(t, err != nil || p == &s[0])
	}
	if err != nil {
		return
	}
	require.Len(t, s, n)
	b := SliceBytes(s)
	require.Len(t, b, n*int(unsafe.Sizeof(zero)))
	if len(b) > 0 {
		require.Same(t, &mem[off], &b[0])
		copy(b, bytes.Repeat([]byte{1}, len(b)))
	}
}
