package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// memory is what two processes share: slices in arena are lent by their offset, handles
// given by their index in handles.
type memory struct {
	arena   []byte
	handles []any
	calls   []string
	refuses any // a handle
}

var (
	errRefused = errors.New("refused")
	errUnknown = errors.New("unknown")
)

func newMemory() *memory { return &memory{arena: aligned(make([]byte, 256), 0)} }

func (m *memory) Give(handle any) (uint64, error) {
	if handle == m.refuses {
		return 0, errRefused
	}
	m.calls = append(m.calls, fmt.Sprintf("give %T", handle))
	m.handles = append(m.handles, handle)
	return uint64(len(m.handles) - 1), nil
}

func (m *memory) Lend(b []byte) (uint64, bool) {
	m.calls = append(m.calls, fmt.Sprintf("lend %d", len(b)))
	off := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(m.arena)))
	return uint64(off), off < uintptr(len(m.arena))
}

// Take does not look at the type: a plan must.
func (m *memory) Take(ref uint64, _ reflect.Type) (any, error) {
	if ref >= uint64(len(m.handles)) {
		return nil, errUnknown
	}
	return m.handles[ref], nil
}

func (m *memory) Borrow(ref uint64) ([]byte, error) {
	if ref >= uint64(len(m.arena)) {
		return nil, errUnknown
	}
	return m.arena[ref:], nil
}

// values returns n elements in the arena, off bytes into it.
func values[T any](t *testing.T, m *memory, off int64, n int) []T {
	s, err := layout.Slice[T](m.arena, off, n)
	require.NoError(t, err)
	return s
}

// send encodes *v for s.
func send[T any](t require.TestingT, p *Plan[T], v *T, s Giver) []byte {
	e, err := p.Prepare(v, s)
	require.NoError(t, err)
	src := make([]byte, e.Size())
	e.CopyTo(src)
	return src
}

func words(ws ...uint64) (b []byte) {
	for _, w := range ws {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return b
}

type pixels struct {
	Name  string
	RGB   []struct{ R, G, B uint16 }
	Masks []bool
	Rows  []uint64
}

func TestLentSlices(t *testing.T) {
	p, m := must[pixels](t, kindFlat), newMemory()
	assert.True(t, p.Lends())
	assert.False(t, p.Handles())
	want := pixels{Name: "n", RGB: values[struct{ R, G, B uint16 }](t, m, 6, 3), Rows: []uint64{1, 2}}
	want.Masks = values[bool](t, m, 200, 4)
	want.RGB[2].B = 7
	src := send(t, p, &want, m)
	assert.Equal(t, []string{"lend 18", "lend 16"}, m.calls, "slices with bools are not lent")
	for _, view := range []bool{false, true} {
		var got pixels
		require.NoError(t, p.Decode(src, &got, view, m))
		assert.Equal(t, want, got)
		assert.Same(t, &want.RGB[0], &got.RGB[0], "the same elements")
		assert.Equal(t, 3, cap(got.RGB), "an append must leave what follows alone")
		assert.NotSame(t, &want.Masks[0], &got.Masks[0])
		assert.NotSame(t, &want.Rows[0], &got.Rows[0])
	}
}

func TestLentWire(t *testing.T) {
	p, m := must[[]uint32](t, kindFlat), newMemory()
	v := values[uint32](t, m, 16, 5)
	assert.Equal(t, words(1<<63|6, 16), send(t, p, &v, m))
	v = []uint32{7}
	assert.Equal(t, append(words(2), 7, 0, 0, 0, 0, 0, 0, 0), send(t, p, &v, m))
	calls := len(m.calls)
	v = nil
	assert.Equal(t, words(0), send(t, p, &v, m))
	v = values[uint32](t, m, 16, 0)
	assert.Equal(t, words(1), send(t, p, &v, m))
	assert.Len(t, m.calls, calls, "there is nothing to lend in an empty slice")
}

// TestLentOnce: CopyTo may be repeated, and asks nobody.
func TestLentOnce(t *testing.T) {
	p, m := must[[]uint32](t, kindFlat), newMemory()
	v := values[uint32](t, m, 0, 4)
	e, err := p.Prepare(&v, m)
	require.NoError(t, err)
	for range 2 {
		dst := make([]byte, e.Size())
		e.CopyTo(dst)
		assert.Equal(t, words(1<<63|5, 0), dst)
	}
	assert.Len(t, m.calls, 1)
}

func TestLentUnalignedIsACopy(t *testing.T) {
	p, m := must[[]uint32](t, kindFlat), newMemory()
	m.arena[2] = 9
	var got []uint32
	require.NoError(t, p.Decode(words(1<<63|3, 2), &got, true, m))
	assert.Len(t, got, 2)
	assert.EqualValues(t, 9, binary.NativeEndian.Uint32(layout.SliceBytes(got))) // where the byte is, on either order
	requireInside(t, m.arena, unsafe.Pointer(&got[0]), false)
}

func TestLentRejects(t *testing.T) {
	p, m := must[[]uint32](t, kindFlat), newMemory()
	for want, src := range map[string][]byte{
		"1 values of 8 bytes, but 0 bytes are left":          words(1<<63 | 2),
		"lent without elements":                              words(1<<63|1, 0),
		"borrow 256: unknown":                                words(1<<63|2, 256),
		"65 values of 4 bytes lent in 256 bytes":             words(1<<63|66, 0),
		"4611686018427387904 values of 4 bytes lent in 256 ": words(1<<63|1<<62+1, 0), // 0 bytes in 64 bits
		"1 values of 4 bytes lent in 1 bytes":                words(1<<63|2, 255),
		"9223372036854775806 values of 4 bytes lent in 256 ": words(math.MaxUint64, 0),
	} {
		got := []uint32{1}
		assert.ErrorContains(t, p.Decode(src, &got, false, m), "decode []uint32: []uint32: "+want)
		assert.Nil(t, got)
	}
	got := []uint32{1}
	assert.ErrorIs(t, p.Decode(words(1<<63|2, 999), &got, false, m), errUnknown)
	assert.ErrorContains(t, p.Decode(words(1<<63), &got, true, m), "1 values of 8 bytes, but 0")
	assert.ErrorContains(t, p.Decode(words(1<<63, 0), &got, true, m), "lent without elements")
	assert.ErrorContains(t, p.Decode(words(1<<63|2, 0, 0), &got, true, m), "8 bytes left over")
	assert.ErrorIs(t, p.Decode(words(1<<63|2, 0), &got, true, nil), errNotShared)
	assert.NoError(t, p.Decode(words(1<<63|65, 0), &got, true, m), "all of it")

	flags := switches{true}
	assert.ErrorContains(t, must[switches](t, kindFlat).Decode(words(1<<63|2, 0), &flags, true, m), "lent elements with a bool")
	assert.Nil(t, flags)
}

// shared is a Giver and a Taker.
type shared interface {
	Giver
	Taker
}

// stranger shares no slices.
type stranger struct{ shared }

func (stranger) Lend([]byte) (uint64, bool) { return 0, false }

func TestLendAllocations(t *testing.T) {
	p, m := must[[]uint32](t, kindFlat), newMemory()
	dst, v := make([]byte, 64), values[uint32](t, m, 0, 4)
	m.calls = make([]string, 0, 1<<10)
	for name, tt := range map[string]struct {
		want float64
		s    shared
	}{"nothing shared": {0, nil}, "nothing lent": {0, stranger{}}} {
		assert.Equal(t, tt.want, testing.AllocsPerRun(100, func() {
			own := v
			e, err := p.Prepare(&own, tt.s)
			if err == nil {
				e.CopyTo(dst)
				err = p.Decode(dst[:e.Size()], &own, true, tt.s)
			}
			if err != nil {
				panic(err)
			}
		}), name)
	}
}

// TestPrepareIn: a CBOR encoding that fits lies where the caller wants it.
func TestPrepareIn(t *testing.T) {
	p := must[map[string][]int](t, kindCBOR)
	v := map[string][]int{"key": {1, 2, 3, 400}}
	want := encode(t, p, &v)
	for room := range len(want) + 20 {
		mem := make([]byte, room+8)
		for i := range mem {
			mem[i] = 0xa5
		}
		buf := mem[:room] // what lies behind its length is not the encoder's
		e, err := p.PrepareIn(&v, nil, buf)
		require.NoError(t, err)
		require.Equal(t, room >= len(want), e.InPlace(), "%d bytes", room)
		if e.InPlace() {
			require.Equal(t, want, buf[:e.Size()])
		}
		for _, b := range mem[room:] {
			require.EqualValues(t, 0xa5, b)
		}
		clear(buf[min(e.Size(), room):])
		dst := make([]byte, e.Size())
		e.CopyTo(dst)
		require.Equal(t, want, dst)
	}
}

func TestPrepareInOtherPlans(t *testing.T) {
	buf := make([]byte, 64)
	s, n := "text", 7
	flat, err := must[string](t, kindFlat).PrepareIn(&s, nil, buf)
	require.NoError(t, err)
	plain, err := must[int](t, kindPlain).PrepareIn(&n, nil, buf)
	require.NoError(t, err)
	custom, err := For[int](jsonCodec{}, nil)
	require.NoError(t, err)
	own, err := custom.PrepareIn(&n, nil, buf)
	require.NoError(t, err)
	for _, e := range []Encoded{flat, plain, own} {
		assert.False(t, e.InPlace())
	}
	assert.Equal(t, make([]byte, 64), buf)
}

func TestPrepareInFails(t *testing.T) {
	p := must[map[string]rude](t, kindCBOR)
	e, err := p.PrepareIn(&map[string]rude{"": {[]string{"fail"}}}, nil, make([]byte, 64))
	assert.ErrorIs(t, err, errRude)
	assert.Zero(t, e)
}

// TestPrepareInAllocations: memory to write to costs no allocation, and saves a large one.
func TestPrepareInAllocations(t *testing.T) {
	p, buf := must[[]string](t, kindCBOR), make([]byte, 1<<12)
	v := []string{"a", "b"}
	allocs := func(buf []byte) float64 {
		return testing.AllocsPerRun(100, func() {
			if _, err := p.PrepareIn(&v, nil, buf); err != nil {
				panic(err)
			}
		})
	}
	assert.LessOrEqual(t, allocs(buf), allocs(nil))
}
