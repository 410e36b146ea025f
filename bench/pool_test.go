package bench

import (
	"context"
	"fmt"
	"testing"

	"github.com/panjf2000/ants/v2"

	"github.com/shmkit/shmkit/pool"
)

// inFlight is how many tasks of a stream are submitted and not yet collected.
const inFlight = 1024

// antsWorkers is the most goroutines that ants starts: enough that submitting never blocks.
const antsWorkers = inFlight

var square = pool.Func("square", func(_ context.Context, x int) (int, error) { return x * x, nil })

// BenchmarkPool squares integers in other processes, and beside that in goroutines of
// this one: what a process costs more than a goroutine. One call is in flight, or a
// stream of tasks whose results are collected in order.
func BenchmarkPool(b *testing.B) {
	b.Run("call", func(b *testing.B) {
		for _, w := range []int{1, 2} {
			b.Run(fmt.Sprintf("W=%d", w), func(b *testing.B) { callPool(b, w) })
		}
		b.Run("chan-pingpong", callChan)
		b.Run("ants", callAnts)
	})
	b.Run("stream", func(b *testing.B) {
		for _, w := range []int{1, 2} {
			b.Run(fmt.Sprintf("W=%d", w), func(b *testing.B) { streamPool(b, w) })
		}
		b.Run("channels", streamChannels)
		b.Run("ants", streamAnts)
		b.Run("goroutine-per-task", streamGoroutines)
	})
}

func newPool(b *testing.B, workers int) *pool.Pool {
	p, err := pool.New(pool.Options{Workers: workers})
	must(err)
	b.Cleanup(func() { must(p.Close()) })
	return p
}

// check makes sure that y is the result for the task number i.
func check(b *testing.B, i, y int) {
	if y != i*i {
		b.Fatalf("the square of %d came back as %d", i, y)
	}
}

func callPool(b *testing.B, workers int) {
	ctx, p := context.Background(), newPool(b, workers)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		y, err := square.Call(ctx, p, i)
		must(err)
		check(b, i, y)
	}
}

func callChan(b *testing.B) {
	in, out := make(chan int), make(chan int)
	go squares(in, out)
	defer close(in)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		in <- i
		check(b, i, <-out)
	}
}

func squares(in <-chan int, out chan<- int) {
	for x := range in {
		out <- x * x
	}
}

func callAnts(b *testing.B) {
	p, c := newAnts(b), newCell()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.x = i
		must(p.Invoke(c))
		check(b, i, <-c.y)
	}
}

// stream keeps inFlight tasks between submit and collect, both of which are told the
// number of the task; collect returns its result.
func stream(b *testing.B, submit func(i int), collect func(i int) int) {
	b.ReportAllocs()
	next, oldest := 0, 0
	for b.Loop() {
		if next-oldest == inFlight {
			check(b, oldest, collect(oldest))
			oldest++
		}
		submit(next)
		next++
	}
	for ; oldest < next; oldest++ { // not timed: at most inFlight of them
		check(b, oldest, collect(oldest))
	}
}

func streamPool(b *testing.B, workers int) {
	ctx, p := context.Background(), newPool(b, workers)
	var futures [inFlight]*pool.Future[int]
	stream(b, func(i int) {
		f, err := square.Go(ctx, p, i)
		must(err)
		futures[i%inFlight] = f
	}, func(i int) int {
		y, err := futures[i%inFlight].Wait(ctx)
		must(err)
		return y
	})
}

func streamChannels(b *testing.B) {
	in, out := make(chan int, inFlight), make(chan int, inFlight)
	go squares(in, out)
	defer close(in)
	stream(b, func(i int) { in <- i }, func(int) int { return <-out })
}

func streamAnts(b *testing.B) {
	p, cells := newAnts(b), newCells()
	stream(b, func(i int) {
		c := cells[i%inFlight]
		c.x = i
		must(p.Invoke(c))
	}, func(i int) int { return <-cells[i%inFlight].y })
}

func streamGoroutines(b *testing.B) {
	cells := newCells()
	stream(b, func(i int) {
		c := cells[i%inFlight]
		c.x = i
		go c.square()
	}, func(i int) int { return <-cells[i%inFlight].y })
}

// A cell is one task of those peers that leave the way back to their user: made once
// and used again and again, so that the figures are theirs and not an allocator's.
type cell struct {
	x int
	y chan int
}

func newCell() *cell { return &cell{y: make(chan int, 1)} }

func newCells() (cells [inFlight]*cell) {
	for i := range cells {
		cells[i] = newCell()
	}
	return cells
}

func (c *cell) square() { c.y <- c.x * c.x }

// newAnts returns ants as its documentation describes it for one function: typed, made
// in advance, and without a janitor for idle goroutines.
func newAnts(b *testing.B) *ants.PoolWithFuncGeneric[*cell] {
	p, err := ants.NewPoolWithFuncGeneric(antsWorkers, (*cell).square, ants.WithPreAlloc(true), ants.WithDisablePurge(true))
	must(err)
	b.Cleanup(p.Release)
	return p
}
