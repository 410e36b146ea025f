//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// within fails the test if what others do takes long. The bound is far above what it takes on
// a machine that is busy, and far below what it would if each of many waited for the
// pool's check, every quarter of a second.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do()
	}()
	select {
	case <-ended:
	case <-time.After(watchdog):
		require.FailNow(t, what+": not at once")
	}
}

// others use the pool in every way while somebody does not keep up.
func others(t *testing.T, p *Pool) {
	t.Helper()
	const calls, items = 500, 1000 // a quarter of a second for each would be minutes
	within(t, "calls", func() {
		for i := range calls {
			y, err := square.Call(t.Context(), p, i)
			if !assert.NoError(t, err) || !assert.Equal(t, i*i, y) {
				return
			}
		}
	})
	within(t, "a map", func() { assert.Equal(t, items, mapped(t, p, items)) })
	within(t, "results beside the slots", func() {
		for range calls {
			b, err := grow.Call(t.Context(), p, 10_000)
			if !assert.NoError(t, err) || !assert.Len(t, b, 10_000) {
				return
			}
		}
	})
}

// mapped counts the right results of a Map.
func mapped(t *testing.T, p *Pool, n int) (right int) {
	for y, err := range square.Map(t.Context(), p, numbers(n)) {
		if err == nil && y == right*right {
			right++
		}
	}
	return right
}

// Futures that nobody waits for hold no place in the queue once their tasks have ended.
func TestForgottenFutures(t *testing.T) {
	const forgotten = 5000
	for _, queue := range []int{4, 64} {
		t.Run(fmt.Sprintf("queue=%d", queue), func(t *testing.T) {
			p := start(t, Options{Workers: 2, Queue: queue})
			futures := make([]*Future[[]byte], forgotten)
			within(t, "many futures", func() {
				for i := range futures {
					var err error
					futures[i], err = grow.Go(t.Context(), p, i)
					if !assert.NoError(t, err) {
						return
					}
				}
			})
			others(t, p)
			for i, f := range futures { // and each is still good
				b, err := f.Wait(t.Context())
				require.NoError(t, err)
				require.Len(t, b, i)
			}
		})
	}
}

// endless yields 0, 1, 2 and so on.
func endless(yield func(int) bool) {
	for i := 0; yield(i); i++ {
	}
}

// unordered is MapUnordered in the form of Map, without the order.
func unordered(ctx context.Context, p *Pool, xs iter.Seq[int]) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for r := range square.MapUnordered(ctx, p, xs) {
			if !yield(r.Out, r.Err) {
				return
			}
		}
	}
}

// Consumers that stop in the middle of their Maps, several at once, keep nobody else from
// working, even if the pool's queue is smaller than what they would like to have in flight.
func TestConsumersThatStop(t *testing.T) {
	const enough = 100 // results of each after it goes on
	for _, blocked := range []int{1, 2, 5} {
		for _, queue := range []int{2, 8} {
			t.Run(fmt.Sprintf("maps=%d/queue=%d", blocked, queue), func(t *testing.T) {
				p := start(t, Options{Workers: 2, Queue: queue})
				release, stopped := make(chan struct{}), make(chan struct{}, 2*blocked)
				var consumers sync.WaitGroup
				defer consumers.Wait()
				consume := func(results iter.Seq2[int, error]) int {
					seen := 0
					for _, err := range results {
						if err != nil {
							assert.NoError(t, err)
							break
						}
						if seen++; seen == 3 {
							stopped <- struct{}{}
							<-release
						}
						if seen == enough {
							break
						}
					}
					return seen
				}
				for range blocked {
					consumers.Go(func() { assert.Equal(t, enough, consume(square.Map(context.Background(), p, endless))) })
					consumers.Go(func() { assert.Equal(t, enough, consume(unordered(context.Background(), p, endless))) })
				}
				goOn := sync.OnceFunc(func() { close(release) })
				defer goOn()
				for range 2 * blocked {
					receive(t, stopped)
				}
				others(t, p)
				goOn()
				within(t, "those that had stopped", consumers.Wait)
			})
		}
	}
}

// While the queue is full, for however long, a caller waits no longer than its context
// allows, and the places of those that gave up are not lost.
func TestQueueFullForLong(t *testing.T) {
	const queue, impatient = 8, 400
	p := start(t, Options{Workers: 2, Queue: queue})
	release := hold(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	var queued []*Future[int]
	for i := range queue - p.opts.Workers {
		f, err := square.Go(ctx, p, i)
		require.NoError(t, err)
		queued = append(queued, f)
	}
	within(t, "callers whose time is up", func() { // one after the other: each at once
		for range impatient {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := square.Call(ctx, p, 1)
			cancel()
			if !assert.ErrorIs(t, err, context.DeadlineExceeded) {
				return
			}
		}
	})
	ended, end := context.WithCancel(t.Context())
	end()
	_, err := square.Go(ended, p, 1)
	require.ErrorIs(t, err, context.Canceled)
	for _, err := range square.Map(ended, p, endless) {
		require.ErrorIs(t, err, context.Canceled)
	}

	patient := make(chan *Future[int], len(queued))
	for i := range queued {
		go func() {
			f, err := square.Go(t.Context(), p, 100+i)
			assert.NoError(t, err)
			patient <- f
		}()
	}
	cancel() // tasks that nobody has begun make room at once, though all workers are busy
	var fs []*Future[int]
	for range queued {
		fs = append(fs, receive(t, patient))
	}
	for _, f := range queued {
		_, err := f.Wait(t.Context())
		require.ErrorIs(t, err, context.Canceled)
	}
	release()
	sum := 0
	for _, f := range fs {
		y, err := f.Wait(t.Context())
		require.NoError(t, err)
		sum += y
	}
	want := 0
	for i := range queued {
		want += (100 + i) * (100 + i)
	}
	require.Equal(t, want, sum)
	require.EqualValues(t, 2*len(queued)+p.opts.Workers, p.Stats().Accepted)
	others(t, p)
}
