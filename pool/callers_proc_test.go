//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

const manyCallers = 10_000

func init() {
	// A parent in which many goroutines wait at once, some for their results and most for a
	// place in the queue.
	programs["many callers"] = func() {
		Main()
		p := must(New(Options{Workers: 2}))
		ctx, release := context.WithCancel(context.Background())
		for range p.opts.Workers {
			must(block.Go(ctx, p, 0))
		}
		dir := os.Getenv("SHMKIT_TEST_DIR")
		var right atomic.Int64
		var wg sync.WaitGroup
		for i := range uint64(manyCallers) {
			wg.Go(func() {
				if r := must(book.Call(context.Background(), p, booking{Dir: dir, ID: i})); r.ID == i {
					right.Add(1)
				}
			})
		}
		for waitingGoroutines() < manyCallers || p.Stats().Outstanding < p.opts.Queue {
			runtime.Gosched()
		}
		fmt.Println("waiting")
		awaitTest()
		release()
		wg.Wait()
		fmt.Println("right", right.Load())
		awaitTest()
		must(0, p.Close())
	}
}

// waitingGoroutines counts the goroutines that are blocked.
func waitingGoroutines() uint64 {
	s := []metrics.Sample{{Name: "/sched/goroutines/waiting:goroutines"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// threads counts a process's threads. A Go program keeps those that it no longer needs, so
// this is also the most that it ever had.
func threads(t *testing.T, pid int) int {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	require.NoError(t, err)
	require.NotEmpty(t, tasks)
	return len(tasks)
}

// Callers that wait are goroutines and no threads, and each gets its own result.
func TestManyCallersNeedFewThreads(t *testing.T) {
	const fewThreads = 20
	dir := t.TempDir()
	parent := launch(t, "many callers", "SHMKIT_TEST_DIR="+dir)
	parent.hear(t, "waiting")
	require.Less(t, threads(t, parent.pid), fewThreads, "while all wait")
	parent.goOn(t)
	var right int
	parent.hear(t, "right %d", &right)
	require.Equal(t, manyCallers, right)
	require.Less(t, threads(t, parent.pid), fewThreads, "when all have their results")
	for _, name := range []string{"started", "ended"} {
		times := entries(t, dir, name)
		require.Len(t, times, manyCallers)
		for id, n := range times {
			require.Equal(t, 1, n, "task %d %s", id, name)
		}
	}
}
