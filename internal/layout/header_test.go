package layout

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHeaderRoundTrip(t *testing.T) {
	mem := bytes.Repeat([]byte{0xff}, 256)
	mem = append(words(256)[:0], mem...)
	require.NoError(t, Init(mem, KindPool, 1, 1<<63, 3))
	params, err := Check(mem, KindPool)
	require.NoError(t, err)
	assert.Equal(t, [5]uint64{1, 1 << 63, 3, 0, 0}, params)
	assert.Equal(t, "shmkit\xff\x00", string(mem[:8]))
	assert.Equal(t, bytes.Repeat([]byte{0xff}, 256-HeaderSize), mem[HeaderSize:], "wrote behind the header")
}

func TestHeaderCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		at   int // the byte to change
		want error
		text string
	}{
		"magic":   {7, ErrNotShmkit, "attach SPSC ring: magic 0x"},
		"version": {8, ErrVersion, "version 253, this program has 2"},
		"kind":    {12, ErrKind, "it is a unknown kind 253"},
		"size":    {16, ErrSize, "made with 191 bytes, memory has 64"},
	} {
		mem := words(64)
		require.NoError(t, Init(mem, KindSPSC))
		mem[tt.at] = ^mem[tt.at]
		_, err := Check(mem, KindSPSC)
		assert.ErrorIs(t, err, tt.want, name)
		assert.ErrorContains(t, err, tt.text, name)
	}
	mem := words(64)
	require.NoError(t, Init(mem, KindSPSC))
	_, err := Check(mem, KindSemaphore)
	assert.ErrorIs(t, err, ErrKind)
	assert.ErrorContains(t, err, "attach semaphore: it is a SPSC ring")
	_, err = Check(make([]byte, 64), KindSPSC)
	assert.ErrorIs(t, err, ErrNotShmkit, "zeroed memory is not complete")
}

func TestHeaderNeedsItsMemory(t *testing.T) {
	var access *AccessError
	for _, mem := range [][]byte{nil, words(HeaderSize - 1), words(HeaderSize + 4)[4:]} {
		assert.ErrorAs(t, Init(mem, KindPool), &access)
		_, err := Check(mem, KindPool)
		assert.ErrorAs(t, err, &access)
	}
	assert.PanicsWithValue(t, "layout: 6 parameters, a header holds 5", func() {
		_ = Init(words(64), KindPool, 1, 2, 3, 4, 5, 6)
	})
}

func TestKindString(t *testing.T) {
	assert.Equal(t, "segment", KindSegment.String())
	assert.Equal(t, "pool", KindPool.String())
	assert.Equal(t, "unknown kind 4294967295", Kind(1<<32-1).String())
}

// FuzzCheck: only what Init would have written passes.
func FuzzCheck(f *testing.F) {
	for _, kind := range []Kind{KindSegment, KindSPSC, KindSemaphore, KindPool} {
		for _, size := range []int{HeaderSize, HeaderSize + 1, 4096} {
			mem := words(size)
			require.NoError(f, Init(mem, kind, uint64(size), 2, 3, 4, 5))
			f.Add(mem, uint32(kind), uint8(0))
			f.Add(mem[:size/2], uint32(kind), uint8(0))
			f.Add(mem, uint32(kind+1), uint8(1))
		}
	}
	f.Add([]byte{}, uint32(0), uint8(0))
	f.Fuzz(func(t *testing.T, src []byte, kind uint32, shift uint8) {
		shift %= 64
		mem := append(words(len(src) + 64)[shift:shift], src...)
		params, err := Check(mem, Kind(kind))
		assert.Equal(t, src, mem, "a look must not write")
		if err != nil {
			assert.Zero(t, params)
			return
		}
		again := words(len(src))
		require.NoError(t, Init(again, Kind(kind), params[:]...))
		assert.Equal(t, again[:HeaderSize], mem[:HeaderSize])
	})
}
