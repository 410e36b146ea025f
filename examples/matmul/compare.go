package main

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/shmkit/shmkit/pool"
)

// compare goes all ways, one after another, and prints a line about each.
func (s settings) compare(ctx context.Context, out io.Writer) error {
	workers, err := pool.New(pool.Options{Workers: s.workers})
	if err != nil {
		return err
	}
	defer workers.Terminate() // after an error, running tasks are of no use; after Close, this does nothing
	p := newProblem(s.n, workers.Stats().Workers, s.seed)
	fmt.Fprintf(out, "C = A·B: %d x %d, seed %d, %d workers, bands of %d rows\n", p.n, p.n, p.seed, p.workers, p.rows)
	ref := newReference(p)
	for _, w := range ways {
		line, err := w.measure(ctx, p, workers, ref)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		fmt.Fprintln(out, line)
	}
	if err := workers.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "checked against the naive product: %v\n", ref)
	return err // of all that was printed: an output that fails once fails again
}

// measure goes one way, checks where it leads, and returns the line about it.
func (w way) measure(ctx context.Context, p *problem, workers *pool.Pool, ref *reference) (string, error) {
	c, err := w.run(ctx, p, workers)
	if err != nil {
		return "", err
	}
	defer c.release()
	if err := ref.check(c.bands, p.rows); err != nil {
		return "", err
	}
	seconds := c.took.Seconds()
	return fmt.Sprintf("%-22s %9.4f s %7.2f GFLOP/s %12d bytes copied   checked",
		w.name, seconds, 2*math.Pow(float64(p.n), 3)/seconds/1e9, c.copied), nil
}
