//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// heapUse is what a process has allocated, ever.
type heapUse struct{ Objects, Bytes uint64 }

var memStats runtime.MemStats // not on the heap: reading it must not count

func useOfHeap() heapUse {
	runtime.ReadMemStats(&memStats)
	return heapUse{memStats.Mallocs, memStats.TotalAlloc}
}

var workerHeap = Func("worker heap", func(context.Context, none) (heapUse, error) { return useOfHeap(), nil })

// slowly takes longer than anybody spins, so that the caller sleeps until it has ended.
var slowly = Func("slowly", func(_ context.Context, x int) (int, error) {
	for began := time.Now(); time.Since(began) < 500*time.Microsecond; {
	}
	return x, nil
})

// What a process may allocate for each task besides what the task needs: the whole process is
// counted, and a runtime that starts a thread meanwhile is a handful of objects. In the
// parent, a goroutine that sleeps also takes a record of the runtime's, out of a cache that
// fills up in the course of time.
const (
	parentNoise = 0.1
	workerNoise = 16 // objects in all
)

// allocations returns how many objects each of n tasks allocates in the parent and in the
// only worker.
func allocations(t *testing.T, p *Pool, n int, run func(n int)) (parent float64, worker int) {
	ask := func() heapUse {
		h, err := workerHeap.Call(context.Background(), p, none{})
		require.NoError(t, err)
		return h
	}
	run(n) // tables and buffers are made, threads started
	ask()
	there := ask()
	here := useOfHeap()
	run(n)
	parent = float64(useOfHeap().Objects-here.Objects) / float64(n)
	after := ask()
	assert.Less(t, after.Bytes-there.Bytes, uint64(16<<10), "bytes that the worker allocates for %d tasks", n)
	return parent, int(after.Objects - there.Objects)
}

// caller returns a run of Calls.
func caller[T any](ctx context.Context, t *testing.T, p *Pool, f *Function[T, T], x T) func(n int) {
	return func(n int) {
		for range n {
			if _, err := f.Call(ctx, p, x); err != nil {
				require.NoError(t, err)
			}
		}
	}
}

// Small values without pointers cross without an allocation on either side.
func TestCallAllocatesNothing(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for _, tt := range []struct {
		name string
		n    int
		run  func(n int)
	}{
		{"nothing", 4000, caller(context.Background(), t, p, echoNone, none{})},
		{"in the slot", 4000, caller(context.Background(), t, p, echoInt, 1)},
		{"beside it", 4000, caller(context.Background(), t, p, echoLarge, large{})},
		{"with a context that can end", 4000, caller(t.Context(), t, p, echoPoint, point{})},
		{"with a caller that sleeps", 500, caller(context.Background(), t, p, slowly, 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parent, worker := allocations(t, p, tt.n, tt.run)
			if !detectsRaces { // sync.Pool drops a quarter of what it is given for the detector's sake
				assert.Less(t, parent, parentNoise, "objects for each call, in the parent")
			}
			assert.Less(t, worker, workerNoise, "objects for all tasks, in the worker")
		})
	}
}

// A future is one allocation.
func TestGoAllocatesOnce(t *testing.T) {
	const n = 2000
	p := start(t, Options{Workers: 1, Queue: n + 1}) // Go does not wait, and Call waits for all before it
	parent, worker := allocations(t, p, n, func(n int) {
		for i := range n {
			if _, err := echoInt.Go(context.Background(), p, i); err != nil {
				require.NoError(t, err)
			}
		}
	})
	assert.Less(t, parent, 1+parentNoise, "objects for each future, in the parent")
	assert.Less(t, worker, workerNoise, "objects for all tasks, in the worker")
}
