package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// A way computes C.
type way struct {
	name string
	run  func(ctx context.Context, p *problem, workers *pool.Pool) (*product, error)
}

var ways = []way{
	{"processes with blocks", runBlocks},
	{"goroutines", runGoroutines},
	{"processes with slices", runSlices},
}

// A product is what a way has come to.
type product struct {
	bands   [][]float64   // of C
	took    time.Duration // from when A and B are there until C is
	copied  int64         // bytes
	release func()        // the bands are not used any more
}

// A sliceTask is sent: the worker gets copies of both slices.
type sliceTask struct {
	A, B []float64
	N    int
}

var multiplySlices = pool.Func("multiply slices", func(_ context.Context, t sliceTask) ([]float64, error) {
	c := make([]float64, len(t.A))
	multiply(c, t.A, t.B, t.N)
	return c, nil
})

func runSlices(ctx context.Context, p *problem, workers *pool.Pool) (*product, error) {
	var tasks []sliceTask
	for _, b := range p.bands() {
		tasks = append(tasks, sliceTask{A: p.rowsOf(p.a, b), B: p.b, N: p.n})
	}
	c := &product{bands: make([][]float64, len(tasks)), release: func() {}}
	began := time.Now()
	for r := range multiplySlices.MapUnordered(ctx, workers, slices.Values(tasks)) {
		if r.Err != nil {
			return nil, r.Err
		}
		c.bands[r.Index] = r.Out
		// The argument is copied into shared memory, where the worker reads it. The result is copied
		// there by the worker, and from there by this process.
		c.copied += int64(len(r.In.A)+len(r.In.B)+2*len(r.Out)) * valueBytes
	}
	c.took = time.Since(began)
	return c, nil
}

// runGoroutines is what the others are to be compared with: memory that is shared anyway.
func runGoroutines(_ context.Context, p *problem, _ *pool.Pool) (*product, error) {
	bands := p.bands()
	c := &product{bands: make([][]float64, len(bands)), release: func() {}}
	for i, b := range bands {
		c.bands[i] = make([]float64, b.rows*p.n)
	}
	var next atomic.Int64 // band that nobody has begun
	var wg sync.WaitGroup
	began := time.Now()
	for range p.workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(bands)); i = next.Add(1) - 1 {
				multiply(c.bands[i], p.rowsOf(p.a, bands[i]), p.b, p.n)
			}
		})
	}
	wg.Wait()
	c.took = time.Since(began)
	return c, nil
}
