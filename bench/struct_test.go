package bench

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/shmkit/shmkit/internal/codec"
	"github.com/shmkit/shmkit/pool"
)

// A plain256 has 256 bytes and no pointers: it crosses as it is.
type plain256 struct{ Words [32]uint64 }

// A tally has a map, so it crosses as CBOR.
type tally struct {
	Counts  map[string]int
	Weights []float64
}

var (
	rotate = pool.Func("rotate", func(_ context.Context, v plain256) (plain256, error) { return v.rotated(), nil })
	vote   = pool.Func("vote", func(_ context.Context, t tally) (tally, error) { return t.voted(), nil })
)

func (v plain256) rotated() (r plain256) {
	copy(r.Words[1:], v.Words[:])
	r.Words[0] = v.Words[len(v.Words)-1]
	return r
}

// voted changes t, which is its caller's no longer.
func (t tally) voted() tally {
	t.Counts["delta"]++
	t.Weights[0]++
	return t
}

func newTally() tally {
	return tally{
		Counts: map[string]int{"alpha": 1, "beta": -2, "gamma": 300, "delta": 40_000, "epsilon": 5, "zeta": 6,
			"eta": 1 << 40, "theta": 8},
		Weights: []float64{0.5, 1.25, -3, 1e300, 1.0 / 3, 6, 7.75, 0},
	}
}

func (t tally) equal(u tally) bool {
	return maps.Equal(t.Counts, u.Counts) && slices.Equal(t.Weights, u.Weights)
}

func callPlain256(b *testing.B) {
	ctx, p := context.Background(), newPool(b, 1)
	var v plain256
	for i := range v.Words {
		v.Words[i] = uint64(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		y, err := rotate.Call(ctx, p, v)
		must(err)
		if v = v.rotated(); y != v {
			b.Fatalf("wrong result: %v", y)
		}
	}
}

func callCBOR(b *testing.B) {
	ctx, p := context.Background(), newPool(b, 1)
	voteEach(b, func(t tally) (tally, error) { return vote.Call(ctx, p, t) })
}

// codecAlone is callCBOR without a pool: what turning the argument and the result into
// bytes and back costs where nothing is sent.
func codecAlone(b *testing.B) {
	plan, err := codec.For[tally](nil, nil)
	must(err)
	buf := make([]byte, 4096)
	cross := func(in tally, view bool) (out tally, err error) {
		enc, err := plan.Prepare(&in, nil)
		if err != nil {
			return out, err
		}
		enc.CopyTo(buf)
		return out, plan.Decode(buf[:enc.Size()], &out, view, nil)
	}
	voteEach(b, func(t tally) (tally, error) {
		arg, err := cross(t, true)
		if err != nil {
			return arg, err
		}
		return cross(arg.voted(), false)
	})
}

// voteEach times calls with one tally. The result of each is compared in full.
func voteEach(b *testing.B, call func(t tally) (tally, error)) {
	arg, want := newTally(), newTally().voted()
	b.ReportAllocs()
	for b.Loop() {
		y, err := call(arg)
		must(err)
		if !y.equal(want) {
			b.Fatalf("wrong result: %v", y)
		}
	}
}
