package shm_test

import (
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/shm"
)

type cell struct {
	Seq  atomic.Uint64
	X, Y float64
	Kind [3]uint8
}

// Every view that is given lies within the memory, aligned, and is that memory; every
// other is refused.
func TestViewIsWithinMemory(t *testing.T) {
	whole := newSegment(t, 2*page).Bytes()
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.IntRange(0, 64).Draw(t, "start") // alignment is of addresses, not of offsets
		size := rapid.IntRange(1, 200).Draw(t, "size")  // an empty slice has no address
		mem := whole[start : start+size : start+size]
		off := rapid.OneOf(rapid.Int64Range(-3, 210), rapid.Int64()).Draw(t, "off")
		n := rapid.OneOf(rapid.IntRange(-1, 30), rapid.Int()).Draw(t, "n")
		checkView[byte](t, mem, start, off, n)
		checkView[uint32](t, mem, start, off, n)
		checkView[cell](t, mem, start, off, n)
	})
}

func checkView[T any](t *rapid.T, mem []byte, start int, off int64, n int) {
	size, align := int64(reflect.TypeFor[T]().Size()), int64(reflect.TypeFor[T]().Align())
	fits := off >= 0 && off <= int64(len(mem)) && (int64(start)+off)%align == 0
	room := int64(len(mem)) - off

	v, err := shm.View[T](mem, off, n)
	require.Equal(t, fits && n >= 0 && int64(n) <= room/size, err == nil, "%v", err)
	if err == nil {
		require.Len(t, v, n)
	}
	if err == nil && n > 0 {
		require.Equal(t, address(&mem[off]), address(&v[0]))
	}
	p, err := shm.At[T](mem, off)
	require.Equal(t, fits && size <= room, err == nil, "%v", err)
	if err == nil {
		require.Equal(t, address(&mem[off]), address(p))
	}
}

func address(p any) uintptr { return reflect.ValueOf(p).Pointer() }

type inner struct {
	N  int
	Ok [2]struct{ Flag bool }
}

func TestViewRefusesTypes(t *testing.T) {
	mem := make([]byte, 256)
	refuses[bool](t, mem, "bool is a bool")
	refuses[[4]bool](t, mem, "[4]bool[] is a bool")
	refuses[inner](t, mem, "shm_test.inner.Ok[].Flag is a bool, which another process can make neither true nor false; use a uint8")
	refuses[struct{ In inner }](t, mem, ".In.Ok[].Flag is a bool")
	refuses[struct{ Mu sync.Mutex }](t, mem, ".Mu is a lock")
	refuses[struct{ Mu [1]sync.RWMutex }](t, mem, ".Mu[] is a lock")
	refuses[struct{ P *int }](t, mem, ".P is a ptr, which means nothing in another process")
	refuses[struct{ S string }](t, mem, ".S is a string")
	refuses[[]byte](t, mem, "[]uint8 is a slice")
	refuses[atomic.Pointer[int]](t, mem, "._[] is a ptr")
}

// refuses asks twice: the second answer comes out of a cache.
func refuses[T any](t *testing.T, mem []byte, want string) {
	t.Helper()
	for range 2 {
		_, err := shm.At[T](mem, 8)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "at offset 8")
		_, err = shm.View[T](mem, 8, 0)
		assert.ErrorContains(t, err, want)
	}
}

func TestViewAllowsTypes(t *testing.T) {
	mem := make([]byte, 256)
	for range 2 {
		_, err := shm.At[struct {
			A atomic.Uint64
			B atomic.Bool
			C [2][3]int16
			D [0]bool
			E complex128
		}](mem, 0)
		assert.NoError(t, err)
	}
}

func TestViewsShareMemory(t *testing.T) {
	s := newSegment(t, page)
	v, err := shm.View[uint64](s.Bytes(), 8, 4)
	require.NoError(t, err)
	p, err := shm.At[uint64](s.Bytes(), 16)
	require.NoError(t, err)
	v[1] = 77
	assert.Equal(t, uint64(77), *p)
}
