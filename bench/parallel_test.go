package bench

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// callers is how many goroutines call at once.
const callers = 64

func parallelPool(b *testing.B, workers int) {
	ctx, p := context.Background(), newPool(b, workers)
	inParallel(b, func() func(x int) int {
		return func(x int) int {
			y, err := square.Call(ctx, p, x)
			must(err)
			return y
		}
	})
}

// parallelChannels is the same with two goroutines in place of the workers. Every
// channel has room for all that is ever in it, so that only receivers wait.
func parallelChannels(b *testing.B) {
	work := make(chan *cell, callers)
	defer close(work)
	for range 2 {
		go func() {
			for c := range work {
				c.square()
			}
		}()
	}
	inParallel(b, func() func(x int) int {
		c := newCell()
		return func(x int) int {
			c.x = x
			work <- c
			return <-c.y
		}
	})
}

// inParallel divides b.N calls among the callers, each of which makes one function for itself.
// It reports, beside the time per call of all together, how long single calls take.
func inParallel(b *testing.B, newCaller func() func(x int) int) {
	took := make([]time.Duration, b.N)
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i := range callers {
		all.Go(func() { timeCalls(b, newCaller(), took, i*b.N/callers, (i+1)*b.N/callers) })
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[b.N/2]), "p50-ns")
	b.ReportMetric(float64(took[b.N*99/100]), "p99-ns")
}

// timeCalls makes the calls with the numbers from first to before end.
func timeCalls(b *testing.B, call func(x int) int, took []time.Duration, first, end int) {
	for i := first; i < end; i++ {
		start := time.Now()
		y := call(i)
		took[i] = time.Since(start)
		if y != i*i {
			b.Errorf("the square of %d came back as %d", i, y)
			return
		}
	}
}
