//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"encoding/binary"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/shm"
)

// A portrait is an argument of painted, a painting its result.
type portrait struct {
	How string
	N   int
}

type painting struct {
	A, B []uint32
	Note string
}

func paint(s []uint32) []uint32 {
	for i := range s {
		s[i] = uint32(i * 3)
	}
	return s
}

// painted returns slices that lie in a place of their own, or partly.
var painted = Func("painted", func(ctx context.Context, in portrait) (out painting, err error) {
	s, err := MakeResult[uint32](ctx, in.N)
	if err != nil {
		return out, err
	}
	if len(s) != in.N {
		panic("wrong length")
	}
	paint(s)
	switch in.How {
	case "whole":
		out.A = s
	case "short":
		out.A = s[:in.N/2]
	case "twice":
		out.A, out.B = s, s[:in.N/3]
	case "middle":
		out.A = s[in.N/4 : in.N/2]
	case "end":
		out.A = s[in.N:]
	case "two":
		out.A, out.B = s, paint(must(MakeResult[uint32](ctx, in.N+1)))
	case "derived":
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		out.A = paint(must(MakeResult[uint32](derived, in.N)))
	case "panic":
		panic("no")
	}
	out.Note = in.How
	return out, nil
})

func TestMakeResult(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for _, n := range []int{0, 1, 64, 65, 1023, 1024, 1025, 10_000, 300_000} {
		all := paint(make([]uint32, n+1))
		for how, want := range map[string]painting{
			"whole":   {A: all[:n]},
			"short":   {A: all[:n/2]},
			"twice":   {A: all[:n], B: all[:n/3]},
			"middle":  {A: all[n/4 : n/2]},
			"end":     {A: all[:0]},
			"two":     {A: all[:n], B: all[:n+1]},
			"derived": {A: all[:n]},
			"nothing": {},
		} {
			want.Note = how
			got, err := painted.Call(t.Context(), p, portrait{how, n})
			require.NoError(t, err)
			require.Equal(t, want, got, "%s of %d", how, n)
			if how == "two" && n > 0 { // the copies are the caller's
				got.A[0], got.B[n] = 1, 2
			}
		}
		_, err := painted.Call(t.Context(), p, portrait{"panic", n})
		require.ErrorContains(t, err, "panic: no")
	}
	requireNothingHeld(t, p)
	s, err := MakeResult[float64](t.Context(), 100_000)
	require.NoError(t, err)
	require.Len(t, s, 100_000)
	clear(s)
}

var (
	listed  = identity[map[string][]string]("listed")
	listing = Func("listing", func(_ context.Context, n int) (map[string][]string, error) {
		return map[string][]string{"a": {strings.Repeat("x", n)}}, nil
	})
)

// Values of CBOR that grow, shrink and stay the same: those as large as the last are encoded where they stay.
func TestEncodedInPlace(t *testing.T) {
	p := start(t, Options{Workers: 1, Memory: 8 * mib})
	for _, n := range []int{10, 40 << 10, 40 << 10, 41 << 10, 60 << 10, 35 << 10, 2 * mib, 2 * mib, 1, 40 << 10, 3 * mib, 3 * mib, 1, 0} {
		same(t, p, listed, map[string][]string{"a": {strings.Repeat("x", n), ""}, "b": nil})
	}
	requireNothingHeld(t, p)
	for _, n := range []int{7 * mib, 7 * mib, 7 * mib, 1} { // there is no room for the last and a quarter more
		got, err := listing.Call(t.Context(), p, n)
		require.NoError(t, err)
		require.Len(t, got["a"][0], n)
	}
	loop := &tree{Tags: map[string][]int{"a": make([]int, 100_000)}}
	same(t, p, echoTree, loop, loop)
	loop.Left = loop
	_, err := echoTree.Call(t.Context(), p, loop)
	require.ErrorContains(t, err, "cycl")
	requireNothingHeld(t, p)
}

// Results of all sizes, which go where they fit.
func TestResultSizes(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for n := 0; n <= mib; n = n*3/2 + 1 {
		b, err := inPlace.Call(t.Context(), p, n)
		require.NoError(t, err)
		require.Len(t, b, n)
		for i, x := range b {
			if x != byte(i) {
				require.Equal(t, byte(i), x, "byte %d of %d", i, n)
			}
		}
	}
	requireNothingHeld(t, p)
}

// A forgery is what a worker that means harm may write as the result of haul.
type forgery struct {
	refs  []ref
	count uint64 // that the table says it has
	body  []uint64
}

// honest is a result that returns two blocks and a frozen one.
func honest(b, b2, frozen shm.Block) forgery {
	return forgery{
		refs:  []ref{blockRef(refBlock, b, b.Cap), blockRef(refBlock, b2, b2.Cap), blockRef(refFrozen, frozen, 800)},
		count: 3,
		body:  []uint64{1, 2, 3, 0, 0, 42}, // four handles, a length and a number
	}
}

// drawForgery changes a few things of an honest result. others are blocks that its task does not have.
func drawForgery(t *rapid.T, f forgery, others ...shm.Block) forgery {
	odd := rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, 2, 3, 4, 64, 512, 1 << 16, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1}), rapid.Uint64())
	one := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) }
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		switch k := one(3, "reference"); one(8, "change") {
		case 0, 1:
			f.refs[k].w[one(4, "word")] = odd.Draw(t, "to")
		case 2:
			f.refs[k].kind = refKind(one(6, "kind"))
		case 3:
			f.refs[k] = blockRef(f.refs[k].kind, others[one(len(others), "other")], 8)
		case 4:
			f.refs[k] = f.refs[one(3, "again")]
		case 5:
			f.body[one(len(f.body), "place")] = odd.Draw(t, "to")
		case 6:
			f.body = f.body[:one(len(f.body), "length")]
			f.body = append(f.body, 0)
		case 7:
			f.count = odd.Draw(t, "count")
		}
	}
	return f
}

func (f forgery) bytes() []byte {
	b := make([]byte, tableBytes(len(f.refs)))
	putTable(b, f.refs)
	binary.LittleEndian.PutUint64(b, f.count)
	for _, word := range f.body {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return b
}

// Whatever a worker writes as a result, the parent lives, hands out nothing that the task did not hold, and loses nothing.
func TestForgedReferences(t *testing.T) {
	p := start(t, Options{Workers: 1})
	strangers := newWords(t, p, 5000)
	stranger := strangers.core.block
	delivered := 0
	try := func(rt require.TestingT, words int, forgeryOf func(b, b2, frozen shm.Block) forgery) {
		in := freight{How: "wait", F: newWords(t, p, 100).Freeze()}
		in.Own.B, in.Own.B2 = newWords(t, p, words), newWords(t, p, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		fut, err := haul.Go(ctx, p, in)
		require.NoError(rt, err)
		eventually(t, "the task runs", func() bool { return slotsThatAre(p, running) == 1 && taskHolds(p, 2) })
		finishAs(p, forgeryOf(in.Own.B.core.block, in.Own.B2.core.block, in.F.core.block).bytes())
		out, err := fut.Wait(t.Context())
		if err == nil {
			for _, b := range []*Block[uint64]{out.B, out.B2} {
				if b != nil {
					delivered++
					require.NotEqual(rt, stranger.Off, b.core.block.Off)
					addTo(b, 1)
					b.Release()
				}
			}
			for _, f := range []*Frozen[uint64]{out.Lent.F, out.Lent.F2} {
				if f != nil {
					require.LessOrEqual(rt, int64(f.Len())*8, f.core.block.Cap)
					for _, x := range f.Slice() {
						looked = x
					}
					f.Release()
				}
			}
		}
		in.F.Release()
		require.NoError(rt, p.broken)
		requireWords(t, strangers.Slice(), 5000, 0)
		endWorker(t, p) // what it believes of its task is no longer so
		eventually(t, "only the stranger's block is left", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.store.Stats().Count == 1 && p.home.blocks == 1
		})
	}
	for _, change := range []func(*forgery){
		func(f *forgery) { f.body[0] = 0 },                                 // a block that the value does not mention
		func(f *forgery) { f.refs[2].w[1], f.refs[2].w[2] = 1<<40, 1<<41 }, // a frozen one far too large
		func(f *forgery) { f.body = nil },
	} {
		try(t, 10, func(b, b2, frozen shm.Block) forgery {
			f := honest(b, b2, frozen)
			change(&f)
			return f
		})
	}
	rapid.Check(t, func(rt *rapid.T) {
		try(rt, rapid.SampledFrom([]int{0, 10, 20_000}).Draw(rt, "words"), func(b, b2, frozen shm.Block) forgery {
			return drawForgery(rt, honest(b, b2, frozen), stranger, shm.Block{})
		})
	})
	require.NotZero(t, delivered, "all were refused: the test shows little")
	t.Logf("%d blocks were handed out", delivered)
	strangers.Release()
	requireNothingHeld(t, p)
}

// taskHolds reports whether the parent has handed so many blocks to the task that runs.
func taskHolds(p *Pool, n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := runningSlot(p)
	return i >= 0 && len(p.entries[i].cargo.moved) == n
}

// finishAs ends the running task in its worker's name, with that for a result.
func finishAs(p *Pool, result []byte) {
	forge(p, func(s *slot) {
		s.resKind, s.resLen = near, uint64(len(result))
		copy(p.mem.resNear(uint32(runningSlot(p))), result)
	})
}

// endWorker kills the only worker and waits for the next.
func endWorker(t *testing.T, p *Pool) {
	t.Helper()
	w := p.Workers()[0]
	require.NoError(t, syscall.Kill(w.Pid, syscall.SIGKILL))
	eventually(t, "the next worker is ready", func() bool {
		next := p.Workers()
		return len(next) == 1 && next[0].Ready && next[0].Pid != w.Pid
	})
}
