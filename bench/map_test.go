package bench

import (
	"context"
	"iter"
	"testing"

	"github.com/shmkit/shmkit/pool"
)

var increment = pool.Func("increment", func(_ context.Context, x int) (int, error) { return x + 1, nil })

// mapPool maps the integers below b.N in one go: its figure is per item.
func mapPool(b *testing.B, workers int) {
	ctx, p := context.Background(), newPool(b, workers)
	count(b, func(yield func(int) bool) {
		for y, err := range increment.Map(ctx, p, upTo(b.N)) {
			must(err)
			if !yield(y) {
				return
			}
		}
	})
}

// mapChannels is the same with a goroutine that feeds and one that adds.
func mapChannels(b *testing.B) {
	in, out := make(chan int, inFlight), make(chan int, inFlight)
	count(b, func(yield func(int) bool) {
		go feed(in, b.N)
		go increments(in, out)
		for y := range out {
			if !yield(y) {
				return
			}
		}
	})
}

func feed(in chan<- int, n int) {
	for i := range n {
		in <- i
	}
	close(in)
}

func increments(in <-chan int, out chan<- int) {
	for x := range in {
		out <- x + 1
	}
	close(out)
}

func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// count times ys, which must be the numbers from 1 to b.N in order.
func count(b *testing.B, ys iter.Seq[int]) {
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for y := range ys {
		if n++; y != n {
			b.Fatalf("result %d is %d", n, y)
		}
	}
	b.StopTimer()
	if n != b.N {
		b.Fatalf("%d results for %d items", n, b.N)
	}
}
