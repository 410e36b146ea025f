//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// newWords returns a block of n words, the i-th being 3*i+1.
func newWords(t testing.TB, p *Pool, n int) *Block[uint64] {
	t.Helper()
	b, err := NewBlock[uint64](t.Context(), p, n)
	require.NoError(t, err)
	require.Equal(t, n, b.Len())
	words := b.Slice()
	for i, x := range words {
		if x != 0 {
			require.Zero(t, x, "word %d of %d", i, n)
		}
		words[i] = uint64(3*i + 1)
	}
	return b
}

// requireWords checks that words are as in newWords, plus more.
func requireWords(t testing.TB, words []uint64, n int, more uint64) {
	t.Helper()
	require.Len(t, words, n)
	for i, x := range words {
		if x != uint64(3*i+1)+more { // millions of calls of require take their time
			require.Equal(t, uint64(3*i+1)+more, x, "word %d of %d", i, n)
		}
	}
}

// requireNothingHeld checks that neither the program nor anybody else has memory of the pool.
func requireNothingHeld(t *testing.T, p *Pool) {
	t.Helper()
	requireNoBlocks(t, p)
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Zero(t, p.home.blocks)
	require.NoError(t, p.store.Check())
}

// A freight is an argument of haul, and a haulage its result.
type freight struct {
	How  string
	Own  struct{ B, B2 *Block[uint64] }
	F    *Frozen[uint64]
	Tags map[string]int
}

type haulage struct {
	B, B2 *Block[uint64]
	Lent  struct{ F, F2 *Frozen[uint64] }
	Note  string
	N     int
}

// haul does with blocks what it is told to.
var haul = Func("haul", func(ctx context.Context, in freight) (out haulage, err error) {
	deed := hauls[in.How]
	if deed == nil {
		panic("no such deed: " + in.How)
	}
	return out, deed(ctx, in, &out)
})

// makeWords is newWords in a task.
func makeWords(ctx context.Context, n int) *Block[uint64] {
	b := must(NewBlock[uint64](ctx, nil, n))
	for i := range b.Slice() {
		b.Slice()[i] += uint64(3*i + 1)
	}
	return b
}

func addTo(b *Block[uint64], more uint64) {
	for i := range b.Slice() {
		b.Slice()[i] += more
	}
}

// hauls are what haul can do; each test file adds its own.
var hauls = map[string]func(ctx context.Context, in freight, out *haulage) error{
	"keep": func(context.Context, freight, *haulage) error { return nil },
	"return": func(_ context.Context, in freight, out *haulage) error {
		addTo(in.Own.B, 5)
		out.B = in.Own.B
		return nil
	},
	"two in, one out": func(_ context.Context, in freight, out *haulage) error {
		for i, x := range in.Own.B2.Slice() {
			in.Own.B.Slice()[i] += x
		}
		out.B, out.N = in.Own.B, in.Tags["n"]
		return nil
	},
	"swap": func(_ context.Context, in freight, out *haulage) error {
		out.B, out.B2 = in.Own.B2, in.Own.B
		return nil
	},
	"release": func(_ context.Context, in freight, out *haulage) error {
		in.Own.B.Release()
		out.N = 1
		return nil
	},
	"freeze": func(_ context.Context, in freight, out *haulage) error {
		addTo(in.Own.B, 5)
		out.Lent.F = in.Own.B.Freeze()
		return nil
	},
	"freeze, keep": func(_ context.Context, in freight, out *haulage) error { in.Own.B.Freeze(); return nil },
	"pass on":      func(_ context.Context, in freight, out *haulage) error { out.Lent.F = in.F; return nil },
	"read": func(_ context.Context, in freight, out *haulage) error {
		for _, x := range in.F.Slice() {
			out.N += int(x)
		}
		return nil
	},
	"read, release": func(_ context.Context, in freight, out *haulage) error {
		out.N = int(in.F.Slice()[1])
		in.F.Release()
		return nil
	},
	"write frozen": func(_ context.Context, in freight, out *haulage) error { in.F.Slice()[0] = 1; return nil },
	"make": func(ctx context.Context, in freight, out *haulage) error {
		out.B = makeWords(ctx, in.Tags["n"])
		return nil
	},
	"make, drop": func(ctx context.Context, in freight, out *haulage) error {
		makeWords(ctx, in.Tags["n"])
		makeWords(ctx, in.Tags["n"]).Freeze()
		makeWords(ctx, in.Tags["n"]).Release()
		return nil
	},
	"make, freeze": func(ctx context.Context, in freight, out *haulage) error {
		out.Lent.F, out.Lent.F2 = makeWords(ctx, in.Tags["n"]).Freeze(), makeWords(ctx, 7).Freeze()
		return nil
	},
	"make, derived": func(ctx context.Context, in freight, out *haulage) error {
		type key struct{}
		derived, cancel := context.WithCancel(context.WithValue(ctx, key{}, 1))
		out.B = makeWords(derived, in.Tags["n"])
		cancel()
		_, err := NewBlock[uint64](derived, nil, 1)
		out.Note = err.Error()
		return nil
	},
	"make, no task": func(_ context.Context, in freight, out *haulage) error {
		_, err := NewBlock[uint64](context.Background(), nil, 1)
		return err
	},
}

func tags(n int) map[string]int { return map[string]int{"n": n} }

// wordCounts are around every border: of a word, a page, a size class, a span.
var wordCounts = []int{0, 1, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 100_000}

func TestBlocksInAllPlaces(t *testing.T) {
	p := start(t, Options{Workers: 2})
	ctx := t.Context()
	for _, n := range wordCounts {
		in := freight{How: "return"}
		in.Own.B = newWords(t, p, n)
		out, err := haul.Call(ctx, p, in)
		require.NoError(t, err)
		require.False(t, in.Own.B.Held())
		requireWords(t, out.B.Slice(), n, 5)
		require.Nil(t, out.B2)

		in = freight{How: "swap"}
		in.Own.B, in.Own.B2 = out.B, newWords(t, p, 9)
		out, err = haul.Call(ctx, p, in)
		require.NoError(t, err)
		requireWords(t, out.B.Slice(), 9, 0)
		requireWords(t, out.B2.Slice(), n, 5)
		out.B.Release()
		out.B2.Release()

		in = freight{How: "two in, one out", Tags: tags(n)}
		in.Own.B, in.Own.B2 = newWords(t, p, n), newWords(t, p, n)
		clear(in.Own.B2.Slice())
		out, err = haul.Call(ctx, p, in)
		require.NoError(t, err)
		require.Equal(t, n, out.N)
		requireWords(t, out.B.Slice(), n, 0)
		out.B.Release()
	}
	requireNothingHeld(t, p)
}

// What a task has and does not return is free when it has ended.
func TestBlocksNotReturned(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for _, how := range []string{"keep", "release", "freeze, keep"} {
		for _, n := range wordCounts {
			in := freight{How: how}
			in.Own.B = newWords(t, p, n)
			_, err := haul.Call(t.Context(), p, in)
			require.NoError(t, err, how)
			require.False(t, in.Own.B.Held())
			requireNothingHeld(t, p)
		}
	}
	_, err := haul.Call(t.Context(), p, freight{How: "make, drop", Tags: tags(5000)})
	require.NoError(t, err)
	requireNothingHeld(t, p)
}

func TestBlocksMadeInTasks(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for _, n := range wordCounts {
		out, err := haul.Call(t.Context(), p, freight{How: "make", Tags: tags(n)})
		require.NoError(t, err)
		requireWords(t, out.B.Slice(), n, 0)
		out.B.Release()
		out, err = haul.Call(t.Context(), p, freight{How: "make, freeze", Tags: tags(n)})
		require.NoError(t, err)
		requireWords(t, out.Lent.F.Slice(), n, 0)
		requireWords(t, out.Lent.F2.Slice(), 7, 0)
		out.Lent.F2.Release()
		out.Lent.F.Release()
	}
	out, err := haul.Call(t.Context(), p, freight{How: "make, derived", Tags: tags(10)})
	require.NoError(t, err)
	require.Contains(t, out.Note, context.Canceled.Error())
	out.B.Release()
	_, err = haul.Call(t.Context(), p, freight{How: "make, no task"})
	require.ErrorContains(t, err, "the context is not that of a task")
	_, err = NewBlock[uint64](t.Context(), nil, 1)
	require.ErrorContains(t, err, "the context is not that of a task")
	requireNothingHeld(t, p)
}

// A frozen block is lent to any number of tasks, and goes with the last who has it.
func TestFrozen(t *testing.T) {
	p := start(t, Options{Workers: 2})
	ctx := t.Context()
	const n = 10_000
	f := newWords(t, p, n).Freeze()
	require.Equal(t, n, f.Len())
	var readers []*Future[haulage]
	for range 50 {
		r, err := haul.Go(ctx, p, freight{How: "read", F: f})
		require.NoError(t, err)
		readers = append(readers, r)
	}
	passed, err := haul.Call(ctx, p, freight{How: "pass on", F: f})
	require.NoError(t, err)
	out, err := haul.Call(ctx, p, freight{How: "read, release", F: f})
	require.NoError(t, err)
	require.Equal(t, 4, out.N)
	f.Release() // the tasks that read go on
	require.Panics(t, func() { f.Slice() })
	for _, r := range readers {
		out, err := r.Wait(ctx)
		require.NoError(t, err)
		require.Equal(t, 3*n*(n-1)/2+n, out.N)
	}
	requireWords(t, passed.Lent.F.Slice(), n, 0)

	_, err = haul.Call(ctx, p, freight{How: "write frozen", F: passed.Lent.F})
	require.ErrorIs(t, err, ErrWorkerDied)
	require.ErrorContains(t, err, "SIGSEGV")
	requireWords(t, passed.Lent.F.Slice(), n, 0)
	passed.Lent.F.Release()

	in := freight{How: "freeze"}
	in.Own.B = newWords(t, p, n)
	out, err = haul.Call(ctx, p, in)
	require.NoError(t, err)
	requireWords(t, out.Lent.F.Slice(), n, 5)
	out.Lent.F.Release()
	requireNothingHeld(t, p)
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

type operands struct {
	A    *Block[float64]
	M    *Frozen[float64]
	K    float64
	Tags map[string]int
}

// A block and a frozen one beside values of every kind.
func TestBlocksBesideValues(t *testing.T) {
	p := start(t, Options{Workers: 2})
	m, err := NewBlock[float64](t.Context(), p, 10)
	require.NoError(t, err)
	for i := range m.Slice() {
		m.Slice()[i] = 2
	}
	f := m.Freeze()
	for range 100 {
		b, err := NewBlock[float64](t.Context(), p, 1000)
		require.NoError(t, err)
		b.Slice()[999] = 1
		out, err := scale.Call(t.Context(), p, operands{A: b, M: f, K: 3, Tags: map[string]int{"x": 4}})
		require.NoError(t, err)
		require.Equal(t, 9.0, out.Slice()[999])
		out.Release()
	}
	f.Release()
	requireNothingHeld(t, p)
}
