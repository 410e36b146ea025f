package codec

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

type (
	point   struct{ x, y, z float64 }
	plainly struct {
		A    int8
		flag bool
		b    [3]struct {
			C    complex128
			OK   [2]bool
			next uintptr
		}
		D time.Duration
		_ [5]byte
	}
)

func TestPlainRoundTrip(t *testing.T) {
	checkRoundTrips[int](t, kindPlain)
	checkRoundTrips[bool](t, kindPlain)
	checkRoundTrips[uintptr](t, kindPlain)
	checkRoundTrips[complex128](t, kindPlain)
	checkRoundTrips[[7]float32](t, kindPlain)
	checkRoundTrips[struct{}](t, kindPlain)
	checkRoundTrips[plainly](t, kindPlain)
}

func TestPlainKeepsUnexported(t *testing.T) {
	p := must[plainly](t, kindPlain)
	v := plainly{A: 1, flag: true, D: 3}
	v.b[2].next, v.b[1].OK[1] = 99, true
	var got plainly
	assert.NoError(t, p.Decode(encode(t, p, &v), &got, true))
	assert.Equal(t, v, got)
}

func TestPlainPut(t *testing.T) {
	p := must[point](t, kindPlain)
	assert.True(t, p.Plain())
	assert.False(t, p.Views())
	assert.Equal(t, 24, p.Fixed())
	v, dst := point{1, 2, 3}, make([]byte, 25)
	dst[24] = 7
	p.Put(dst, &v)
	assert.Equal(t, encode(t, p, &v), dst[:24])
	assert.EqualValues(t, 7, dst[24])
	assert.Panics(t, func() { p.Put(dst[:23:23], &v) }, "too short")
	assert.PanicsWithValue(t, "codec: Put with a plan that is not plain, of string", func() {
		s := ""
		must[string](t, kindFlat).Put(dst, &s)
	})
}

func TestPlainNormalisesBools(t *testing.T) {
	p := must[plainly](t, kindPlain)
	src := make([]byte, p.Fixed())
	for i := range src {
		src[i] = 0x82
	}
	var got plainly
	assert.NoError(t, p.Decode(src, &got, false))
	for _, b := range []*bool{&got.flag, &got.b[0].OK[0], &got.b[2].OK[1]} {
		assert.EqualValues(t, 1, *(*byte)(unsafe.Pointer(b)))
	}
	assert.EqualValues(t, 0x82, src[1], "the source is not ours to change")
}

func TestPlainWrongLength(t *testing.T) {
	p := must[point](t, kindPlain)
	for _, n := range []int{0, 23, 25, 48} {
		got := point{1, 2, 3}
		assert.ErrorContains(t, p.Decode(make([]byte, n), &got, true), "decode codec.point: ")
		assert.Zero(t, got)
	}
}

func TestPlainDoesNotAllocate(t *testing.T) {
	p := must[plainly](t, kindPlain)
	dst := make([]byte, p.Fixed())
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		v := plainly{A: 1} // on this stack: no plan makes it escape
		p.Put(dst, &v)
		e, err := p.Prepare(&v)
		if err == nil {
			e.CopyTo(dst)
			err = p.Decode(dst, &v, false)
		}
		if err != nil || v.A != 1 {
			panic(err)
		}
	}))
}
