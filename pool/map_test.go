//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// numbers yields 0 to n-1, or all there are if n is negative.
func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i != n; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

// evens fails odd numbers.
var evens = Func("evens", func(_ context.Context, x int) (int, error) {
	if x%2 == 1 {
		return 0, errors.New("odd")
	}
	return x / 2, nil
})

// Inputs of all sizes, empty ones too. Seen in CPython's test_concurrent_futures and test_multiprocessing.
func TestMapInOrder(t *testing.T) {
	for _, o := range []Options{{Workers: 1, Queue: 1}, {Workers: 2, Queue: 3}, {Workers: 3}} {
		p := start(t, o)
		for _, n := range []int{0, 1, 2, 1000} {
			i := 0
			for y, err := range square.Map(t.Context(), p, numbers(n)) {
				require.NoError(t, err)
				require.Equal(t, i*i, y)
				i++
			}
			require.Equal(t, n, i)
		}
	}
}

func TestMapUnorderedYieldsAll(t *testing.T) {
	for _, o := range []Options{{Workers: 1, Queue: 1}, {Workers: 2, Queue: 3}, {Workers: 3}} {
		p := start(t, o)
		for _, n := range []int{0, 1, 2, 1000} {
			seen := make([]int, n)
			for r := range square.MapUnordered(t.Context(), p, numbers(n)) {
				require.NoError(t, r.Err)
				require.Equal(t, r.Index, r.In)
				require.Equal(t, r.In*r.In, r.Out)
				seen[r.Index]++
			}
			for i, times := range seen {
				require.Equal(t, 1, times, "item %d", i)
			}
		}
	}
}

// Seen in CPython's test_multiprocessing and in pebble's suite.
func TestMapFailuresAreTheItemsOwn(t *testing.T) {
	p := start(t, Options{Workers: 2})
	i := 0
	for y, err := range evens.Map(t.Context(), p, numbers(101)) {
		if i%2 == 1 {
			require.ErrorContains(t, err, "odd")
		} else {
			require.NoError(t, err)
			require.Equal(t, i/2, y)
		}
		i++
	}
	require.Equal(t, 101, i)
	failed := 0
	for r := range evens.MapUnordered(t.Context(), p, numbers(101)) {
		if r.Err != nil {
			failed++
			require.Equal(t, 1, r.In%2)
		}
	}
	require.Equal(t, 50, failed)
}

// A worker that dies fails one item. Seen in pebble's suite.
func TestMapDeath(t *testing.T) {
	p := start(t, Options{Workers: 2})
	how := func(yield func(string) bool) {
		for i := range 30 {
			if !yield(map[bool]string{true: "kill", false: "none"}[i == 11]) {
				return
			}
		}
	}
	i := 0
	for _, err := range mayDie.Map(t.Context(), p, how) {
		if i == 11 {
			require.ErrorIs(t, err, ErrWorkerDied)
		} else {
			require.NoError(t, err)
		}
		i++
	}
	require.Equal(t, 30, i)
}

var mayDie = Func("may die", func(ctx context.Context, how string) (int, error) {
	if how == "none" {
		return 0, nil
	}
	return die.fn(ctx, how)
})

// Infinite input is consumed only as far as results are.
// Seen in CPython's test_concurrent_futures.
func TestMapInfinite(t *testing.T) {
	p := start(t, Options{Workers: 2})
	pulled := 0
	stopped := make(chan struct{})
	xs := func(yield func(int) bool) {
		defer close(stopped)
		for i := 0; yield(i); i++ {
			pulled++
		}
	}
	got := 0
	for _, err := range square.Map(t.Context(), p, xs) {
		require.NoError(t, err)
		if got++; got == 100 {
			break
		}
	}
	receive(t, stopped)
	most, _ := square.chunks()
	taken := got + most // the consumer has all of the chunk at whose item it left
	require.LessOrEqual(t, pulled, taken+(4+2*p.opts.Workers)*most)
	for r := range square.MapUnordered(t.Context(), p, numbers(-1)) {
		require.NoError(t, r.Err)
		break
	}
	same(t, p, echoInt, 1)
}

// Seen in CPython's test_multiprocessing.
func TestMapIteratorPanics(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for _, after := range []int{0, 1, 5, 500} {
		xs := func(yield func(int) bool) {
			for i := range after {
				if !yield(i) {
					return
				}
			}
			panic("bad input")
		}
		got := 0
		require.PanicsWithValue(t, true, func() {
			defer func() {
				text := fmt.Sprint(recover())
				require.Contains(t, text, "pool: the sequence given to square.Map panicked: bad input")
				require.Contains(t, text, "map_test.go")
				panic(true)
			}()
			for _, err := range square.Map(t.Context(), p, xs) {
				require.NoError(t, err)
				got++
			}
		})
		require.Equal(t, after, got)
		got = 0
		require.Panics(t, func() {
			for r := range square.MapUnordered(t.Context(), p, xs) {
				require.NoError(t, r.Err)
				got++
			}
		})
		require.Equal(t, after, got)
	}
}

func TestMapContextEnds(t *testing.T) {
	p := start(t, Options{Workers: 2})
	ctx, cancel := context.WithCancel(t.Context())
	got := 0
	var last error
	for _, err := range square.Map(ctx, p, numbers(-1)) {
		last = err
		if got++; got == 10 {
			cancel()
		}
	}
	require.Equal(t, 11, got)
	require.ErrorIs(t, last, context.Canceled)
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	for r := range block.MapUnordered(ctx, p, numbers(-1)) {
		last = r.Err
	}
	require.ErrorIs(t, last, context.DeadlineExceeded)
	same(t, p, echoInt, 1)
}

// What a broken Map has in flight is cancelled, also where it runs.
// Seen in CPython's test_concurrent_futures.
func TestMapBreakEndsTasks(t *testing.T) {
	p := start(t, Options{Workers: 2})
	xs := func(yield func(int) bool) { _ = yield(-1) && yield(1) && yield(2) && yield(3) && yield(4) }
	for _, err := range blockUnlessNegative.Map(t.Context(), p, xs) {
		require.NoError(t, err)
		break
	}
	same(t, p, echoInt, 1, 2, 3) // the workers are free again
}

var blockUnlessNegative = Func("block unless negative", func(ctx context.Context, x int) (int, error) {
	if x < 0 {
		return x, nil
	}
	<-ctx.Done()
	return 0, ctx.Err()
})
