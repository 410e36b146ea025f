package bench

import (
	"context"
	"testing"

	"github.com/shmkit/shmkit/pool"
)

// sizes are how much is handed to a worker and back, by their names.
var sizes = []struct {
	name  string
	bytes int
}{{"64B", 64}, {"4KiB", 4 << 10}, {"1MiB", 1 << 20}, {"64MiB", 64 << 20}, {"1GiB", 1 << 30}}

var (
	touchBlock = pool.Func("touch block", func(_ context.Context, b *pool.Block[byte]) (*pool.Block[byte], error) {
		touch(b.Slice())
		return b, nil
	})
	touchBytes   = pool.Func("touch bytes", func(_ context.Context, b []byte) ([]byte, error) { return touch(b), nil })
	touchInPlace = pool.Func("touch in place", func(ctx context.Context, b []byte) ([]byte, error) {
		out, err := pool.MakeResult[byte](ctx, len(b))
		if err == nil {
			out[0], out[len(out)-1] = b[0]+1, b[len(b)-1]+1
		}
		return out, err
	})
)

// touch changes both ends.
func touch(b []byte) []byte {
	b[0]++
	b[len(b)-1]++
	return b
}

// blockPool hands a block over and back. It is not copied.
func blockPool(b *testing.B, size int) {
	ctx, p := context.Background(), newPool(b, 1)
	block, err := pool.NewBlock[byte](ctx, p, size)
	must(err)
	s := block.Slice()
	s[0], s[size-1] = 0, 0
	for n := byte(1); b.Loop(); n++ {
		block, err = touchBlock.Call(ctx, p, block)
		must(err)
		if s := block.Slice(); s[0] != n || s[size-1] != n {
			b.Fatalf("the ends are %d and %d, not %d", s[0], s[size-1], n)
		}
	}
	block.Release()
}

// bytesPool sends a slice, and gets one back.
func bytesPool(b *testing.B, size int, f *pool.Function[[]byte, []byte]) {
	ctx, p := context.Background(), newPool(b, 1)
	in := make([]byte, size)
	_, err := f.Call(ctx, p, in) // from now on the memory is there
	must(err)
	for n := byte(1); b.Loop(); n++ {
		in[0], in[size-1] = n, n
		out, err := f.Call(ctx, p, in)
		must(err)
		if len(out) != size || out[0] != n+1 || out[size-1] != n+1 {
			b.Fatalf("%d bytes came back, with %d and %d", len(out), out[0], out[size-1])
		}
	}
}

// copies is the least that it takes to move bytes through memory of their own: so many copies, the last into a
// fresh slice.
func copies(b *testing.B, size, times int) {
	from, to := make([]byte, size), make([]byte, size)
	copy(to, from) // large memory is given out without pages
	for b.Loop() {
		for range times - 1 {
			copy(to, from)
			from, to = to, from
		}
		sink = append([]byte(nil), from...)
	}
	sink = nil
}

// sink keeps what would otherwise be optimised away.
var sink []byte

func benchBlock(b *testing.B) {
	for _, s := range sizes {
		b.Run(s.name, func(b *testing.B) { blockPool(b, s.bytes) })
	}
}

func benchBytes(b *testing.B) {
	for _, s := range sizes[:4] {
		b.Run(s.name, func(b *testing.B) {
			b.Run("plain", func(b *testing.B) { bytesPool(b, s.bytes, touchBytes) })
			b.Run("three-copies", func(b *testing.B) { copies(b, s.bytes, 3) })
			b.Run("in-place", func(b *testing.B) { bytesPool(b, s.bytes, touchInPlace) })
			b.Run("two-copies", func(b *testing.B) { copies(b, s.bytes, 2) })
		})
	}
}
