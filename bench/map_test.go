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
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for y, err := range increment.Map(ctx, p, upTo(b.N)) {
		must(err)
		if n++; y != n {
			b.Fatalf("result %d is %d", n, y)
		}
	}
	b.StopTimer()
	checkCount(b, n)
}

// mapChannels is the same with a goroutine that feeds and one that adds.
func mapChannels(b *testing.B) {
	in, out := make(chan int, inFlight), make(chan int, inFlight)
	b.ReportAllocs()
	b.ResetTimer()
	go feed(in, b.N)
	go increments(in, out)
	n := 0
	for y := range out {
		if n++; y != n {
			b.Fatalf("result %d is %d", n, y)
		}
	}
	b.StopTimer()
	checkCount(b, n)
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

// checkCount fails the benchmark unless there were as many results as items.
func checkCount(b *testing.B, n int) {
	if n != b.N {
		b.Fatalf("%d results for %d items", n, b.N)
	}
}
