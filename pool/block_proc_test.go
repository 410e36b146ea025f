//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

type operands struct {
	A    *Block[float64]
	M    *Frozen[float64]
	K    float64
	Tags map[string]int
}

var (
	echoBlock = identity[*Block[float64]]("echo block")
	scale     = Func("scale", func(_ context.Context, o operands) (*Block[float64], error) {
		a, m := o.A.Slice(), o.M.Slice()
		for i := range a {
			a[i] = a[i]*m[i%len(m)] + o.K + float64(o.Tags["x"])
		}
		return o.A, nil
	})
	fresh = Func("fresh", func(ctx context.Context, n int) (*Block[uint64], error) {
		b, err := NewBlock[uint64](ctx, nil, n)
		if err != nil {
			return nil, err
		}
		for i := range b.Slice() {
			b.Slice()[i] = uint64(i)
		}
		return b, nil
	})
	inPlace = Func("in place", func(ctx context.Context, n int) ([]byte, error) {
		b, err := MakeResult[byte](ctx, n)
		for i := range b {
			b[i] = byte(i)
		}
		return b, err
	})
)

func TestBlockGoesAndComesBack(t *testing.T) {
	p := start(t, Options{Workers: 2})
	ctx := t.Context()
	for _, n := range []int{0, 1, 8, 511, 512, 513, 100_000, 1 << 20} {
		b, err := NewBlock[float64](ctx, p, n)
		require.NoError(t, err)
		for i := range b.Slice() {
			b.Slice()[i] = float64(i)
		}
		out, err := echoBlock.Call(ctx, p, b)
		require.NoError(t, err)
		require.False(t, b.Held())
		require.Equal(t, n, out.Len())
		for i, x := range out.Slice() {
			require.Equal(t, float64(i), x)
		}
		out.Release()
		require.Panics(t, func() { out.Slice() })
		require.Panics(t, func() { b.Slice() })
	}
	m, err := NewBlock[float64](ctx, p, 10)
	require.NoError(t, err)
	for i := range m.Slice() {
		m.Slice()[i] = 2
	}
	f := m.Freeze()
	for range 100 {
		b, err := NewBlock[float64](ctx, p, 1000)
		require.NoError(t, err)
		b.Slice()[999] = 1
		out, err := scale.Call(ctx, p, operands{A: b, M: f, K: 3, Tags: map[string]int{"x": 4}})
		require.NoError(t, err)
		require.Equal(t, 9.0, out.Slice()[999])
		out.Release()
	}
	f.Release()
	o, err := fresh.Call(ctx, p, 100_000)
	require.NoError(t, err)
	for i, x := range o.Slice() {
		require.EqualValues(t, i, x)
	}
	o.Release()
	for _, n := range []int{10, 1000, 1 << 20} {
		s, err := inPlace.Call(ctx, p, n)
		require.NoError(t, err)
		require.Len(t, s, n)
		for i, x := range s {
			require.Equal(t, byte(i), x)
		}
	}
	requireNoBlocks(t, p)
	require.Zero(t, p.blocks)
}
