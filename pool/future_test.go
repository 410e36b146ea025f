//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFutureManyWaiters(t *testing.T) {
	p := start(t, Options{Workers: 1})
	release := hold(t, p)
	f, err := echoString.Go(t.Context(), p, "x")
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			s, err := f.Wait(context.Background())
			assert.NoError(t, err)
			assert.Equal(t, "x", s)
		})
		wg.Go(func() { <-f.Done() })
	}
	release()
	wg.Wait()
	receive(t, f.Done())
}

// Ending a wait does not end the task.
func TestWaitContext(t *testing.T) {
	p := start(t, Options{Workers: 1})
	release := hold(t, p)
	f, err := square.Go(t.Context(), p, 3)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	_, err = f.Wait(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	release()
	y, err := f.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 9, y)
}

// A task whose context ends while it waits in the queue does not run.
// Seen in CPython's test_concurrent_futures and piscina's suite.
func TestCancelQueued(t *testing.T) {
	p := start(t, Options{Workers: 1})
	release := hold(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	dead, err := die.Go(ctx, p, "kill")
	require.NoError(t, err)
	cancel()
	_, err = dead.Wait(t.Context())
	require.ErrorIs(t, err, context.Canceled)
	release()
	same(t, p, echoInt, 1)
	require.Zero(t, p.Stats().Deaths, "it has run")
}

// A running task learns by its context that nobody wants its result.
func TestCancelRunning(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for _, f := range []*Function[int, int]{block, poll} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := f.Call(ctx, p, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
		same(t, p, echoInt, 1) // the worker is free again
	}
	ctx, cancel := context.WithCancel(t.Context())
	f, err := block.Go(ctx, p, 1)
	require.NoError(t, err)
	cancel()
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, context.Canceled)
	same(t, p, echoInt, 1)
}

// poll asks its context instead of waiting for it.
var poll = Func("poll", func(ctx context.Context, x int) (int, error) {
	for ctx.Err() == nil {
		x++
	}
	return x, ctx.Err()
})

// The context of one task says nothing of the next, whoever kept it.
var keptContexts []context.Context

var keep = Func("keep", func(ctx context.Context, ask bool) (int, error) {
	defer func() { keptContexts = append(keptContexts, ctx) }()
	ended := 0
	for _, old := range keptContexts {
		if old.Err() != nil {
			ended++
		}
	}
	if ask && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return ended, nil
})

func TestTaskContextEndsWithItsTask(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for i := range 5 {
		ended, err := keep.Call(t.Context(), p, i%2 == 0)
		require.NoError(t, err)
		require.Equal(t, i, ended, "contexts of tasks that have returned have ended")
	}
}

func TestCallWithEndedContext(t *testing.T) {
	p := start(t, Options{Workers: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := square.Call(ctx, p, 1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = echoString.Go(ctx, p, "x")
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, p.Stats().Accepted)
}

func TestAsCompleted(t *testing.T) {
	p := start(t, Options{Workers: 2})
	ctx, cancel := context.WithCancel(t.Context())
	slow, err := block.Go(ctx, p, 0)
	require.NoError(t, err)
	fs := []*Future[int]{slow}
	for i := range 20 {
		f, err := square.Go(t.Context(), p, i)
		require.NoError(t, err)
		fs = append(fs, f)
	}
	seen := map[*Future[int]]bool{}
	for f := range AsCompleted(t.Context(), fs...) {
		require.False(t, seen[f])
		seen[f] = true
		if len(seen) == 20 {
			require.False(t, seen[slow], "the slow one comes last")
			cancel()
		}
	}
	require.Len(t, seen, 21)
	eventually(t, "the slow one's worker has noticed", func() bool { return slotsThatAre(p, running) == 0 })
	release := hold(t, p)
	waiting, err := square.Go(t.Context(), p, 1)
	require.NoError(t, err)
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	for range AsCompleted(ctx, waiting) {
		require.Fail(t, "nothing has ended")
	}
	release()
	for range AsCompleted(t.Context(), waiting, waiting) {
		break
	}
}

// The queue's length bounds what is accepted; waiting for room ends with the context.
// Seen in pond's suite and piscina's.
func TestQueueFull(t *testing.T) {
	for _, queue := range []int{1, 2, 3} {
		p := start(t, Options{Workers: 1, Queue: queue})
		release := hold(t, p)
		var fs []*Future[int]
		for i := range queue - 1 {
			f, err := square.Go(t.Context(), p, i)
			require.NoError(t, err)
			fs = append(fs, f)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_, err := square.Go(ctx, p, 99)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
		results := make(chan int, 10)
		for range 10 {
			go func() {
				y, err := square.Call(context.Background(), p, 5)
				assert.NoError(t, err)
				results <- y
			}()
		}
		release()
		for range 10 {
			require.Equal(t, 25, receive(t, results))
		}
		for i, f := range fs {
			y, err := f.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, i*i, y)
		}
	}
}

// Futures that nobody waits for hold no slot.
func TestAbandonedFutures(t *testing.T) {
	p := start(t, Options{Workers: 1, Queue: 4})
	for i := range 500 {
		_, err := echoBytes.Go(t.Context(), p, make([]byte, 100*i))
		require.NoError(t, err)
	}
	same(t, p, echoInt, 1)
}
