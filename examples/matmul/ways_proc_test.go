package main

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/pool"
)

// Every way gives every value of C.
func TestWays(t *testing.T) {
	workers := start(t, pool.Options{Workers: 2})
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 45).Draw(rt, "n")
		p := newProblem(n, rapid.IntRange(1, 4).Draw(rt, "workers"), rapid.Uint64().Draw(rt, "seed"))
		want := inBands(p)
		for _, w := range ways {
			c, err := w.run(t.Context(), p, workers)
			require.NoError(rt, err, w.name)
			require.Equal(rt, want, c.bands, w.name)
			require.Positive(rt, c.took, w.name)
			c.release()
		}
	})
}

// What is left of a run that fails would be found by the look at the process after all tests: a block keeps
// the pool's memory mapped.
func TestCancelled(t *testing.T) {
	workers := start(t, pool.Options{Workers: 2})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := newProblem(20, 2, 1)
	for _, run := range []func(context.Context, *problem, *pool.Pool) (*product, error){runBlocks, runSlices} {
		_, err := run(ctx, p, workers)
		assert.ErrorIs(t, err, context.Canceled)
	}
}

func TestNoRoom(t *testing.T) {
	for _, n := range []int{100, 256, 300, 512} { // A, C and B do not fit, or B alone does not
		workers := start(t, pool.Options{Workers: 1, Memory: 5 * 256 * 256 * valueBytes / 2})
		c, err := runBlocks(t.Context(), newProblem(n, 1, 1), workers)
		if n == 100 {
			require.NoError(t, err)
			c.release()
			continue
		}
		assert.ErrorContains(t, err, "choose a smaller -n", "%d", n)
	}
}

// Its task is lost, and its blocks are: the others are freed.
func TestWorkerIsKilled(t *testing.T) {
	workers := start(t, pool.Options{Workers: 2})
	ended := make(chan error)
	go func() {
		_, err := runBlocks(t.Context(), newProblem(1500, 2, 1), workers)
		ended <- err
	}()
	watchdog := time.After(patience)
	again := time.NewTicker(time.Millisecond) // nothing announces that a task has begun
	defer again.Stop()
	killed := map[int]bool{}
	for {
		select {
		case err := <-ended:
			assert.ErrorIs(t, err, pool.ErrWorkerDied)
			return
		case <-watchdog:
			require.FailNow(t, "the run goes on")
		case <-again.C:
		}
		if workers.Stats().Outstanding == 0 {
			continue
		}
		for _, w := range workers.Workers() {
			if w.Ready && !killed[w.Pid] {
				killed[w.Pid] = true
				kill(t, w.Pid)
			}
		}
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	worker, err := os.FindProcess(pid)
	require.NoError(t, err)
	defer worker.Release()
	require.NoError(t, worker.Kill())
}
