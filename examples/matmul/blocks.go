package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// A blockTask moves its bands to a worker and lends it B: what is sent is where they lie.
type blockTask struct {
	A, C *pool.Block[float64]
	B    *pool.Frozen[float64]
	N    int
}

// The band of C goes back. That of A was the task's, and ends with it.
var multiplyBlocks = pool.Func("multiply blocks", func(_ context.Context, t blockTask) (*pool.Block[float64], error) {
	multiply(t.C.Slice(), t.A.Slice(), t.B.Slice(), t.N)
	return t.C, nil
})

func runBlocks(ctx context.Context, p *problem, workers *pool.Pool) (*product, error) {
	o, err := newOperands(p, workers)
	if err != nil {
		return nil, err
	}
	c := &product{bands: make([][]float64, len(o.tasks)), release: o.release}
	began := time.Now()
	for r := range multiplyBlocks.MapUnordered(ctx, workers, slices.Values(o.tasks)) {
		if r.Err != nil {
			o.release()
			return nil, r.Err
		}
		o.tasks[r.Index].C = r.Out // the handle that was given away is of no use any more
		c.bands[r.Index] = r.Out.Slice()
	}
	c.took = time.Since(began)
	return c, nil
}

// operands are the matrices in blocks. All are there before the first task, which then waits for nothing.
type operands struct {
	b     *pool.Frozen[float64]
	tasks []blockTask
}

func newOperands(p *problem, workers *pool.Pool) (*operands, error) {
	b, err := newBlock(workers, p.n*p.n)
	if err != nil {
		return nil, err
	}
	fill(b.Slice(), p.n, 0, matrixB, p.seed)
	o := &operands{b: b.Freeze()} // no process can change it from here on
	for _, band := range p.bands() {
		if err := o.add(p, band, workers); err != nil {
			o.release()
			return nil, err
		}
	}
	return o, nil
}

// add makes the task for a band. A is made where the worker will read it.
func (o *operands) add(p *problem, b band, workers *pool.Pool) (err error) {
	t := blockTask{B: o.b, N: p.n}
	if t.A, err = newBlock(workers, b.rows*p.n); err != nil {
		return err
	}
	fill(t.A.Slice(), p.n, b.first, matrixA, p.seed)
	t.C, err = newBlock(workers, b.rows*p.n)
	o.tasks = append(o.tasks, t) // t.A is to be released, if there is no C
	return err
}

// newBlock does not wait for room: nobody else would make any.
func newBlock(workers *pool.Pool, n int) (*pool.Block[float64], error) {
	b, ok := pool.TryNewBlock[float64](workers, n)
	if !ok {
		return nil, errors.New("there is no room for the matrices in the pool's memory: choose a smaller -n")
	}
	return b, nil
}

// release frees what has not ended with a task.
func (o *operands) release() {
	o.b.Release()
	for _, t := range o.tasks {
		for _, b := range []*pool.Block[float64]{t.A, t.C} {
			if b.Held() {
				b.Release()
			}
		}
	}
}
