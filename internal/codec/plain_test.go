package codec

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/shmkit/shmkit/internal/layout"
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
	assert.NoError(t, p.Decode(encode(t, p, &v), &got, true, nil))
	assert.Equal(t, v, got)
}

func TestFixed(t *testing.T) {
	p := must[plainly](t, kindPlain)
	assert.True(t, p.Plain())
	assert.False(t, p.Lends())
	vs, got := []plainly{{A: 1, flag: true, D: 3}, {A: 2}, {D: 9}}, make([]plainly, 3)
	src := bytes.Clone(layout.SliceBytes(vs))
	assert.NoError(t, p.Fixed().Accept(layout.SliceBytes(got), src))
	assert.Equal(t, vs, got)

	for i := range src {
		src[i] = 0x82 // as somebody may write who is no Go program
	}
	assert.NoError(t, p.Fixed().Accept(layout.SliceBytes(got), src))
	for i := range got {
		assert.EqualValues(t, 1, *(*byte)(unsafe.Pointer(&got[i].flag)))
	}
	assert.EqualError(t, p.Fixed().Accept(layout.SliceBytes(got[:1]), src), fmt.Sprintf("%d bytes, want %d", len(src), len(src)/3))
	assert.Nil(t, must[string](t, kindFlat).Fixed())
}

func TestPlainNormalisesBools(t *testing.T) {
	p := must[plainly](t, kindPlain)
	src := make([]byte, p.size)
	for i := range src {
		src[i] = 0x82
	}
	var got plainly
	assert.NoError(t, p.Decode(src, &got, false, nil))
	for _, b := range []*bool{&got.flag, &got.b[0].OK[0], &got.b[2].OK[1]} {
		assert.EqualValues(t, 1, *(*byte)(unsafe.Pointer(b)))
	}
	assert.EqualValues(t, 0x82, src[1], "the source is not ours to change")
}

func TestPlainWrongLength(t *testing.T) {
	p := must[point](t, kindPlain)
	for _, n := range []int{0, 23, 25, 48} {
		got := point{1, 2, 3}
		assert.ErrorContains(t, p.Decode(make([]byte, n), &got, true, nil), "decode codec.point: ")
		assert.Zero(t, got)
	}
}

func TestPlainDoesNotAllocate(t *testing.T) {
	p := must[plainly](t, kindPlain)
	dst := make([]byte, p.size)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		v := plainly{A: 1} // on this stack: no plan makes it escape
		e, err := p.Prepare(&v, nil)
		if err == nil {
			e.CopyTo(dst)
			err = p.Decode(dst, &v, false, nil)
		}
		if err != nil || v.A != 1 {
			panic(err)
		}
	}))
}

// FuzzAccept: any bytes of the right length become values in which bools are bools, and nothing else is changed; others are refused.
func FuzzAccept(f *testing.F) {
	p := must[plainly](f, kindPlain)
	f.Add(bytes.Repeat([]byte{0x82}, p.size))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, src []byte) {
		var v, w plainly
		err := p.Fixed().Accept(layout.Bytes(&v), src)
		assert.Equal(t, len(src) == p.size, err == nil)
		assert.Equal(t, err == nil, p.Decode(src, &w, false, nil) == nil)
		assert.Equal(t, layout.Bytes(&v), layout.Bytes(&w), "two ways to the same")
		for i, b := range layout.Bytes(&v) {
			isBool := slices.Contains(p.bools, uintptr(i))
			assert.True(t, err != nil || b == src[i] && !isBool || isBool && b <= 1, "byte %d", i)
		}
	})
}
