package bench

import (
	"context"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/pool"
)

// A burnTask keeps a processor busy for a number of rounds.
type burnTask struct{ Rounds, Index uint64 }

var burn = pool.Func("burn", func(_ context.Context, t burnTask) (uint64, error) { return mix(t.Rounds) + t.Index, nil })

// mix is work that touches no memory. It is one function, never inlined, so that all
// processes run the very same instructions.
//
//go:noinline
func mix(rounds uint64) uint64 {
	x := rounds
	for range rounds {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

// roundTime is what a round takes, in nanoseconds, when nobody disturbs: the best of many.
var roundTime = sync.OnceValue(func() float64 {
	const n = 1 << 16
	best := time.Duration(math.MaxInt64)
	for range 100 {
		start := time.Now()
		x := mix(n)
		best = min(best, time.Since(start))
		runtime.KeepAlive(x)
	}
	return float64(best.Nanoseconds()) / n
})

// rounds returns how many rounds take ns nanoseconds. One run of the benchmarks has one
// answer: only figures of one run can be compared.
func rounds(ns float64) uint64 { return max(uint64(ns/roundTime()), 1) }

// benchBurn shows what of two processors reaches the tasks: the time of bare, divided by that of
// W=2.
func benchBurn(b *testing.B) {
	for _, d := range []struct {
		name string
		ns   float64
	}{{"10us", 1e4}, {"100us", 1e5}, {"1ms", 1e6}} {
		b.Run(d.name, func(b *testing.B) {
			r := rounds(d.ns)
			perWorkers(b, func(b *testing.B, workers int) { burnPool(b, workers, r) }, 2)
			b.Run("bare", func(b *testing.B) { burnBare(b, r) })
		})
	}
}

// burnPool keeps inFlight tasks in flight and collects their results in order. Unlike that of
// stream, its figure includes the last tasks: they are a good part of all when tasks are long.
func burnPool(b *testing.B, workers int, rounds uint64) {
	ctx, p, want := context.Background(), newPool(b, workers), mix(rounds)
	var futures [inFlight]*pool.Future[uint64]
	collect := func(i int) {
		y, err := futures[i%inFlight].Wait(ctx)
		must(err)
		if y != want+uint64(i) {
			b.Fatalf("task %d came back with a wrong result", i)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i >= inFlight {
			collect(i - inFlight)
		}
		f, err := burn.Go(ctx, p, burnTask{Rounds: rounds, Index: uint64(i)})
		must(err)
		futures[i%inFlight] = f
	}
	for i := max(b.N-inFlight, 0); i < b.N; i++ {
		collect(i)
	}
	b.StopTimer()
}

// burnBare is the same number of tasks in two bare processes, half of them in each, one
// after the other in a plain loop. It ends when both have ended.
func burnBare(b *testing.B, rounds uint64) {
	want := mix(rounds)
	duel(b, "burn half", func(s *board, n uint64) {
		sys.ReleaseStore64(&s.ping, rounds) // the start; pairs with the load in burnHalf
		burnAll(&s.items[0], rounds, n-n/2)
		await(&s.pong, 1)
		if s.items[0] != want || n > 1 && s.items[1] != want {
			b.Fatal("a bare task has a wrong result")
		}
	})
}

// burnHalf is the side in the other process.
func burnHalf(s *board, n uint64) {
	for s.ping.Load() == 0 {
		sys.Pause(1)
	}
	burnAll(&s.items[1], s.ping.Load(), n/2)
	sys.ReleaseStore64(&s.pong, 1) // pairs with await in burnBare
}

// burnAll runs n tasks and leaves the last one's result. It is plain: the child's is handed
// over by pong.
func burnAll(result *uint64, rounds, n uint64) {
	for range n {
		*result = mix(rounds)
	}
}
