package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"
	"unsafe"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type (
	switches []bool
	samples  []float32
	job      struct {
		ID     uint32
		Urgent bool
		_      *int // blank fields are left alone
		Ready  bool
		Pos    point
		Name   text
		Data   []byte
		Matrix samples
		Flags  switches
		Part   struct {
			Tail  string
			Words []uint64
			Last  int8
		}
		Pairs []struct{ A, B int16 }
		Empty struct{}
		Done  bool
	}
)

func TestFlatRoundTrip(t *testing.T) {
	checkRoundTrips[string](t, kindFlat)
	checkRoundTrips[text](t, kindFlat)
	checkRoundTrips[[]byte](t, kindFlat)
	checkRoundTrips[samples](t, kindFlat)
	checkRoundTrips[switches](t, kindFlat)
	checkRoundTrips[[][3]int16](t, kindFlat)
	checkRoundTrips[[]complex128](t, kindFlat)
	checkRoundTrips[struct{ S string }](t, kindFlat)
	checkRoundTrips[job](t, kindFlat)
}

func TestFlatLarge(t *testing.T) {
	v := make([]float64, 131_073)
	v[len(v)-1] = math.NaN()
	requireRoundTrip(t, must[[]float64](t, kindFlat), &v)
}

// TestFlatWire pins the bytes down: padding is zero, whatever was there before.
func TestFlatWire(t *testing.T) {
	type value struct {
		A int16
		B bool
		S string
		N []uint16
		E []byte
		L []uint32
	}
	word := func(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }
	want := bytes.Join([][]byte{
		binary.NativeEndian.AppendUint16(nil, 0x1234), {1, 0, 0, 0, 0, 0},
		word(9), []byte("123456789\x00\x00\x00\x00\x00\x00\x00"),
		word(0),
		word(1),
		word(2), binary.NativeEndian.AppendUint64(nil, 7),
	}, nil)
	p := must[value](t, kindFlat)
	assert.Equal(t, want, encode(t, p, &value{A: 0x1234, B: true, S: "123456789", E: []byte{}, L: []uint32{7}}))
	assert.Nil(t, p.Fixed())
	assert.False(t, p.Plain())
}

// TestFlatLeavesBlanksAlone: a blank pointer is neither sent nor overwritten.
func TestFlatLeavesBlanksAlone(t *testing.T) {
	p := must[job](t, kindFlat)
	for i := range p.ops {
		o := &p.ops[i]
		blank := reflect.TypeFor[job]().Field(2)
		require.Equal(t, "_", blank.Name)
		assert.False(t, o.kind == opPlain && o.off < blank.Offset+blank.Type.Size() && blank.Offset < o.off+o.size,
			"%s covers the blank field", o.path)
	}
	assert.Equal(t, "codec.job.ID", p.ops[0].path)
	assert.EqualValues(t, 5, p.ops[0].size, "ID and Urgent are one")
}

// requireInside checks whether p points into src.
func requireInside(t *testing.T, src []byte, p unsafe.Pointer, inside bool) {
	t.Helper()
	off := uintptr(p) - uintptr(unsafe.Pointer(unsafe.SliceData(src)))
	require.Equal(t, inside, off < uintptr(len(src)))
}

func TestFlatViews(t *testing.T) {
	p := must[job](t, kindFlat)
	assert.True(t, p.Lends())
	want := job{Name: "n", Data: []byte{1, 2, 3}, Matrix: samples{4, 5}, Flags: switches{true}}
	want.Part.Tail, want.Part.Words = "tail", []uint64{6, 7, 8}
	src := aligned(encode(t, p, &want), 0)
	for _, view := range []bool{false, true} {
		var got job
		require.NoError(t, p.Decode(src, &got, view, nil))
		require.Equal(t, want, got)
		requireInside(t, src, unsafe.Pointer(&got.Data[0]), view)
		requireInside(t, src, unsafe.Pointer(&got.Matrix[0]), view)
		requireInside(t, src, unsafe.Pointer(&got.Part.Words[0]), view)
		requireInside(t, src, unsafe.Pointer(&got.Flags[0]), false) // bools could be changed behind our back
		requireInside(t, src, unsafe.Pointer(unsafe.StringData(string(got.Name))), false)
		requireInside(t, src, unsafe.Pointer(unsafe.StringData(got.Part.Tail)), false)
		assert.Zero(t, uintptr(unsafe.Pointer(&got.Part.Words[0]))%8)

		before := bytes.Clone(src)
		_ = append(got.Data, 0xee)
		_ = append(got.Matrix, 0)
		assert.Equal(t, before, src, "an append reached what follows the view")
	}
}

func TestFlatViewOfUnalignedMemoryIsACopy(t *testing.T) {
	p := must[[]uint32](t, kindFlat)
	want := []uint32{1, 2, 3}
	for shift := range 8 {
		src := aligned(encode(t, p, &want), shift)
		var got []uint32
		require.NoError(t, p.Decode(src, &got, true, nil))
		assert.Equal(t, want, got)
		requireInside(t, src, unsafe.Pointer(&got[0]), shift%4 == 0)
		assert.Zero(t, uintptr(unsafe.Pointer(&got[0]))%4)
	}
}

// aligned returns a copy of b that starts shift bytes behind a multiple of 64.
func aligned(b []byte, shift int) []byte {
	mem := make([]byte, len(b)+64+shift)
	for !layout.Aligned(mem, 64) {
		mem = mem[1:]
	}
	return append(mem[shift:shift], b...)
}

func TestFlatWithoutViews(t *testing.T) {
	assert.False(t, must[string](t, kindFlat).Lends())
	assert.False(t, must[switches](t, kindFlat).Lends())
}

func TestFlatNormalisesBools(t *testing.T) {
	slice := must[switches](t, kindFlat)
	src := encode(t, slice, &switches{false, true, false})
	copy(src[8:], "\x02\x00\xff")
	for _, view := range []bool{false, true} {
		var got switches
		require.NoError(t, slice.Decode(src, &got, view, nil))
		assert.Equal(t, []byte{1, 0, 1}, layout.SliceBytes(got))
	}

	p := must[job](t, kindFlat)
	src = encode(t, p, &job{})
	src[4], src[8], src[len(src)-8] = 0x80, 0x40, 0x20
	var got job
	require.NoError(t, p.Decode(src, &got, true, nil))
	for _, b := range []*bool{&got.Urgent, &got.Ready, &got.Done} {
		assert.EqualValues(t, 1, *(*byte)(unsafe.Pointer(b)))
	}
}

func TestFlatRejects(t *testing.T) {
	type value struct {
		S string
		N []uint64
	}
	p := must[value](t, kindFlat)
	words := func(ws ...uint64) (b []byte) {
		for _, w := range ws {
			b = binary.NativeEndian.AppendUint64(b, w)
		}
		return b
	}
	for want, src := range map[string][]byte{
		"codec.value.S: 1 values of 8 bytes, but 0 bytes are left":                     {},
		"codec.value.S: 1 values of 8 bytes, but 7 bytes are left":                     make([]byte, 7),
		"codec.value.S: 9 values of 1 bytes, but 8 bytes are left":                     words(9, 0),
		"codec.value.S: 18446744073709551615 values of 1 bytes, but 16 bytes are left": words(math.MaxUint64, 0, 0),
		"codec.value.S: 7 bytes and their padding, but 7 bytes are left":               append(words(7), 1, 2, 3, 4, 5, 6, 7),
		"codec.value.N: 1 values of 8 bytes, but 0 bytes are left":                     words(0),
		"codec.value.N: 1 values of 8 bytes, but 7 bytes are left":                     append(words(0, 2), 1, 2, 3, 4, 5, 6, 7),
		"codec.value.N: 9223372036854775806 values of 8 bytes, but 8 bytes are left":   words(0, math.MaxInt64, 0),
		"codec.value.N: crosses by reference, but no memory is shared":                 words(0, math.MaxUint64, 0),
		"codec.value.N: 2305843009213693952 values of 8 bytes, but 8 bytes are left":   words(0, 1<<61+1, 0),
		"8 bytes left over": words(0, 2, 1, 0),
	} {
		for _, view := range []bool{false, true} {
			got := value{S: "old", N: []uint64{1}}
			assert.EqualError(t, p.Decode(src, &got, view, nil), "decode codec.value: "+want)
			assert.Zero(t, got)
		}
	}
}

func TestFlatCopyToPanicsOnGrownValue(t *testing.T) {
	p := must[[]byte](t, kindFlat)
	v := []byte("12345678")
	e, err := p.Prepare(&v, nil)
	require.NoError(t, err)
	v = append(v, '9')
	dst := make([]byte, 64)
	assert.Panics(t, func() { e.CopyTo(dst) })
	assert.Equal(t, make([]byte, 64-16), dst[16:])
}

func TestFlatAllocations(t *testing.T) {
	p := must[job](t, kindFlat)
	dst, flags := make([]byte, 4096), switches{true}
	src := aligned(encode(t, p, &job{Data: make([]byte, 100), Matrix: make(samples, 3)}), 0)
	for name, tt := range map[string]struct {
		want float64
		run  func()
	}{
		"encode": {0, func() {
			v := job{Name: "name", Data: dst[:10], Flags: flags}
			if e, err := p.Prepare(&v, nil); err == nil {
				e.CopyTo(dst)
			}
		}},
		"decode views": {0, func() {
			var v job
			if err := p.Decode(src, &v, true, nil); err != nil {
				panic(err)
			}
		}},
		"decode two slices": {2, func() {
			var v job
			if err := p.Decode(src, &v, false, nil); err != nil {
				panic(err)
			}
		}},
	} {
		assert.Equal(t, tt.want, testing.AllocsPerRun(100, tt.run), name)
	}
	str := must[string](t, kindFlat)
	s := "a string of more than a few bytes"
	src = encode(t, str, &s)
	assert.EqualValues(t, 1, testing.AllocsPerRun(100, func() { _ = str.Decode(src, &s, false, nil) }))
}

func FuzzDecodeFlat(f *testing.F) {
	p := must[job](f, kindFlat)
	for seed := range 8 {
		v := rapid.Custom(func(t *rapid.T) (v job) {
			fill(t, reflect.ValueOf(&v).Elem(), 3)
			return v
		}).Example(seed)
		f.Add(encode(f, p, &v))
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 200))
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, view := range []bool{false, true} {
			var v job
			if p.Decode(src, &v, view, nil) == nil {
				requireRoundTrip(t, p, &v)
				require.LessOrEqual(t, len(v.Name)+len(v.Data)+4*len(v.Matrix)+len(v.Flags)+len(v.Part.Tail)+
					8*len(v.Part.Words)+4*len(v.Pairs), len(src))
			}
		}
	})
}
