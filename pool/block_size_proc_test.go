//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	echoRaw  = identity[*Block[byte]]("echo raw block")
	flipEnds = Func("flip ends", func(_ context.Context, b *Block[byte]) (*Block[byte], error) {
		flip(b.Slice())
		return b, nil
	})
	// lastOf returns how long a value is, and its last byte.
	lastOf = Func("last of", func(_ context.Context, b []byte) ([2]int, error) {
		return [2]int{len(b), int(b[len(b)-1])}, nil
	})
)

// flip changes both ends.
func flip(b []byte) {
	if len(b) > 0 {
		b[0] ^= 0x5a
		b[len(b)-1] ^= 0xa5
	}
}

// mark makes both ends known.
func mark(b []byte) {
	if len(b) > 0 {
		b[0], b[len(b)-1] = 11, 22
	}
}

func TestBlockSizes(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for _, n := range []int{0, 1, pageBytes - 1, pageBytes, pageBytes + 1, 32 << 10, 32<<10 + 1, 64 << 10, 64<<10 + 1, 1 << 20} {
		b, err := NewBlock[byte](t.Context(), p, n)
		require.NoError(t, err)
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i * 7)
		}
		copy(b.Slice(), want)
		require.Equal(t, n, cap(b.Slice()), "nothing is behind it")
		b, err = echoRaw.Call(t.Context(), p, b)
		require.NoError(t, err)
		require.Equal(t, want, b.Slice())
		b, err = flipEnds.Call(t.Context(), p, b)
		require.NoError(t, err)
		flip(want)
		require.Equal(t, want, b.Slice())
		b.Release()
		same(t, p, echoBytes, want)
	}
	requireNothingHeld(t, p)
}

// Blocks and arguments around 2 and 4 GiB: no length or offset anywhere has 31 or 32 bits.
// Arguments of more than 2 GiB are seen in loky's suite.
func TestHugeSizes(t *testing.T) {
	p := start(t, Options{Workers: 1, Memory: 5 << 30})
	for _, n := range []int{1<<32 + 1, 1<<31 + 1, 1 << 31, 1<<31 - 1} {
		b, err := NewBlock[byte](t.Context(), p, n)
		require.NoError(t, err)
		require.Equal(t, n, b.Len())
		want := [2]byte{11, 22}
		mark(b.Slice())
		b, err = flipEnds.Call(t.Context(), p, b)
		require.NoError(t, err)
		flip(want[:])
		require.Equal(t, want, [2]byte{b.Slice()[0], b.Slice()[n-1]})
		b.Release()
	}
	const n = 2_200_000_000
	b, err := NewBlock[byte](t.Context(), p, n)
	require.NoError(t, err)
	mark(b.Slice())
	got, err := lastOf.Call(t.Context(), p, b.Slice()) // copied, like any slice
	require.NoError(t, err)
	require.Equal(t, [2]int{n, 22}, got)
	require.True(t, b.Held())
	b.Release()
	requireNothingHeld(t, p)
}
