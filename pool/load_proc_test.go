//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Many more tasks than workers, all of which wait for one event: as many run as there are workers, in no more processes, and
// all end once it comes. Seen in CPython's test_concurrent_futures.
func TestSaturation(t *testing.T) {
	for _, workers := range []int{1, 4} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			p := start(t, Options{Workers: workers})
			g := newGate(t)
			var fs []*Future[int]
			for range 15 * workers {
				f, err := pass.Go(t.Context(), p, g.path)
				require.NoError(t, err)
				fs = append(fs, f)
			}
			eventually(t, "all workers are occupied", func() bool { return slotsThatAre(p, running) == workers })
			require.Equal(t, 14*workers, slotsThatAre(p, queued))
			require.EqualValues(t, workers, p.Stats().Started)
			g.open()
			for _, f := range fs {
				_, err := f.Wait(t.Context())
				require.NoError(t, err)
			}
			require.Zero(t, p.Stats().Outstanding)
		})
	}
}

// A luggage is an argument that takes memory on both sides.
type luggage struct {
	How  string
	Data []byte
}

var unload = Func("unload", func(ctx context.Context, f luggage) (int, error) {
	if f.How == "wait" {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if f.How == "return" {
		return len(f.Data), nil
	}
	return 0, hazard{At: "run", How: f.How}.spring("run")
})

// carry submits a task and forgets its argument.
func carry(t *testing.T, ctx context.Context, p *Pool, how string) (*Future[int], weak.Pointer[byte]) {
	data := make([]byte, 1<<20)
	f, err := unload.Go(ctx, p, luggage{how, data})
	require.NoError(t, err)
	return f, weak.Make(&data[0])
}

// An argument is released when its task has ended, in whatever way: in shared memory and in the parent's, though its future is
// kept. Seen in CPython's test_concurrent_futures and in loky's suite.
func TestArgumentsAreReleased(t *testing.T) {
	p := start(t, Options{Workers: 1})
	requireReleased := func(t *testing.T, f *Future[int], arg weak.Pointer[byte]) {
		t.Helper()
		receive(t, f.Done())
		requireNoBlocks(t, p)
		eventually(t, "the argument is garbage", func() bool { runtime.GC(); return arg.Value() == nil })
		runtime.KeepAlive(f)
	}
	for _, how := range []string{"return", "error", "panic", "kill", "wait"} {
		t.Run(how, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f, arg := carry(t, ctx, p, how)
			if how == "wait" {
				eventually(t, "it runs", func() bool { return slotsThatAre(p, running) == 1 })
				cancel()
			}
			requireReleased(t, f, arg)
		})
	}
	t.Run("cancelled before it began", func(t *testing.T) {
		release := hold(t, p)
		defer release()
		ctx, cancel := context.WithCancel(t.Context())
		f, arg := carry(t, ctx, p, "return")
		cancel()
		requireReleased(t, f, arg)
	})
}

var leaked [][]byte

// leaks keeps so many bytes, and returns how many this process has of its own.
var leaks = Func("leaks", func(_ context.Context, n int) (int, error) {
	leaked = append(leaked, bytes.Repeat([]byte{1}, n))
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident, shared int // in pages
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		return 0, err
	}
	return (resident - shared) * os.Getpagesize(), nil
})

// Tasks leak 3 MB each: a worker grows no further than its number of tasks allows. Seen in loky's suite.
func TestLeakUntilRecycled(t *testing.T) {
	const tasks, each = 40, 3 << 20
	growth := func(limit int) int {
		p := start(t, Options{Workers: 1, MaxTasksPerWorker: limit})
		var sizes []int
		for range tasks {
			n, err := leaks.Call(t.Context(), p, each)
			require.NoError(t, err)
			sizes = append(sizes, n)
		}
		require.Zero(t, p.Stats().Deaths)
		return slices.Max(sizes) - sizes[0]
	}
	require.Greater(t, growth(0), (tasks-2)*each, "it leaks")
	require.Less(t, growth(3), tasks*each/2)
}

// A sequence panics in the middle of a chunk, in order and not, with items that travel by the chunk and one by one: the results
// before it are there, and nothing is left. Seen in CPython's test_concurrent_futures and test_multiprocessing.
func TestMapIteratorPanicsMidChunk(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for _, after := range []int{3, 4_999, 20_001} {
		xs := func(yield func(int) bool) {
			for i := range after {
				if !yield(i) {
					return
				}
			}
			panic("bad input")
		}
		words := func(yield func(string) bool) {
			for i := range xs {
				if !yield(fmt.Sprint(i)) {
					return
				}
			}
		}
		for name, consume := range map[string]func(got func(error)){
			"in order": func(got func(error)) {
				for _, err := range square.Map(t.Context(), p, xs) {
					got(err)
				}
			},
			"unordered": func(got func(error)) {
				for r := range square.MapUnordered(t.Context(), p, xs) {
					got(r.Err)
				}
			},
			"one by one, in order": func(got func(error)) {
				for _, err := range echoString.Map(t.Context(), p, words) {
					got(err)
				}
			},
			"one by one, unordered": func(got func(error)) {
				for r := range echoString.MapUnordered(t.Context(), p, words) {
					got(r.Err)
				}
			},
		} {
			t.Run(fmt.Sprintf("%s/after=%d", name, after), func(t *testing.T) {
				n := 0
				text := fmt.Sprint(panicOf(func() { consume(func(err error) { assert.NoError(t, err); n++ }) }))
				require.Contains(t, text, ".Map panicked: bad input")
				require.Equal(t, after, n)
				require.Zero(t, p.Stats().Outstanding)
			})
		}
	}
	requireNoBlocks(t, p)
	same(t, p, echoInt, 1)
}

// An input without values is no work; a consumer that breaks at the first result, or at a late one, stops an endless input. Seen in
// CPython's test_concurrent_futures and test_multiprocessing.
func TestMapEmptyAndEndless(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for range square.Map(t.Context(), p, numbers(0)) {
		require.Fail(t, "a result of nothing")
	}
	for range echoString.MapUnordered(t.Context(), p, slices.Values([]string(nil))) {
		require.Fail(t, "a result of nothing")
	}
	require.Zero(t, p.Stats().Accepted)
	for _, most := range []int{1, 2, 5_000} {
		n := 0
		for _, err := range square.Map(t.Context(), p, endless) {
			require.NoError(t, err)
			if n++; n == most {
				break
			}
		}
		require.Equal(t, most, n)
	}
	eventually(t, "nothing is in flight", func() bool { return p.Stats().Outstanding == 0 })
	requireNoBlocks(t, p)
}
