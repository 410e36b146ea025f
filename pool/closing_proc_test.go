//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Workers die while their pool is being closed: what they ran fails, what waits is run by others, also by replacements. Seen in
// CPython's test_concurrent_futures and in loky's suite, as a shutdown that waits for ever.
func TestWorkerDiesWhileClosing(t *testing.T) {
	for _, victims := range []int{1, 2} {
		t.Run(fmt.Sprintf("victims=%d", victims), func(t *testing.T) {
			const workers, waiting = 2, 20
			p, err := New(Options{Workers: workers})
			require.NoError(t, err)
			defer p.Terminate()
			g := newGate(t)
			var begun, queued []*Future[int]
			for range workers {
				f, err := pass.Go(t.Context(), p, g.path)
				require.NoError(t, err)
				begun = append(begun, f)
			}
			eventually(t, "all workers are occupied", func() bool { return slotsThatAre(p, running) == workers })
			for i := range waiting {
				f, err := square.Go(t.Context(), p, i)
				require.NoError(t, err)
				queued = append(queued, f)
			}
			ended := make(chan error, 1)
			go func() { ended <- p.Close() }()
			eventually(t, "it closes", func() bool { return isClosing(p) })
			for _, pid := range pids(p)[:victims] {
				require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			}
			eventually(t, "the death is noticed", func() bool { return p.Stats().Deaths == uint64(victims) })
			g.open()
			require.NoError(t, receive(t, ended))
			died := 0
			for _, f := range begun {
				if _, err := f.Wait(t.Context()); err != nil {
					require.ErrorIs(t, err, ErrWorkerDied)
					died++
				}
			}
			require.Equal(t, victims, died)
			for i, f := range queued {
				y, err := f.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, i*i, y)
			}
		})
	}
}

// Submitted, cancelled and closed at once: each task ends, and so does the pool. Seen in loky's and in CPython's
// test_concurrent_futures, as a hang.
func TestSubmitCancelClose(t *testing.T) {
	for round := range 10 {
		p, err := New(Options{Workers: 1 + round%2, Queue: 16})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var fs []*Future[int]
		for i := range 16 {
			task := square
			if i%3 == 0 {
				task = block
			}
			f, err := task.Go(ctx, p, i)
			require.NoError(t, err)
			fs = append(fs, f)
		}
		cancel()
		require.NoError(t, p.Close())
		for i, f := range fs {
			require.True(t, f.finished())
			if y, err := f.Wait(t.Context()); err != nil {
				require.ErrorIs(t, err, context.Canceled)
			} else {
				require.Equal(t, i*i, y)
			}
		}
	}
}

// A task that was cancelled and does not listen keeps Close waiting until its grace period has passed, and no longer.
// Seen in pebble's suite.
func TestCloseAfterCancelledEndlessTask(t *testing.T) {
	p, err := New(Options{Workers: 1, Grace: soon})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	f := beginEndless(t, ctx, p)
	cancel()
	require.NoError(t, p.Close())
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, context.Canceled)
}

// The ways to end a pool.
var endings = map[string]func(p *Pool) error{
	"close": (*Pool).Close,
	"close in time": func(p *Pool) error {
		ctx, cancel := context.WithTimeout(context.Background(), watchdog)
		defer cancel()
		return p.CloseContext(ctx)
	},
	"close at once": func(p *Pool) error {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := p.CloseContext(ctx); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	},
	"terminate": func(p *Pool) error { p.Terminate(); return nil },
}

// requireEnded checks that nothing of a pool is left.
func requireEnded(t *testing.T, p *Pool) {
	t.Helper()
	receive(t, p.closed)
	require.Empty(t, p.Workers())
	require.Zero(t, p.Stats().Workers)
	require.Zero(t, p.Memory().Count)
	_, err := square.Call(t.Context(), p, 1)
	require.ErrorIs(t, err, ErrClosed)
}

// Any number of goroutines end a pool in any ways, each twice, while others submit: all return, when all has ended. Seen in pond's
// suite, in piscina's, and in CPython's test_concurrent_futures.
func TestEndFromManyGoroutines(t *testing.T) {
	for name, own := range endings {
		t.Run(name, func(t *testing.T) {
			p, err := New(Options{Workers: 2, Queue: 32})
			require.NoError(t, err)
			var fs sync.Map
			var users, enders sync.WaitGroup
			began := make(chan struct{}, 4)
			for range 4 {
				users.Go(func() {
					for i := 0; ; i++ {
						f, err := square.Go(context.Background(), p, i)
						if err != nil {
							assert.ErrorIs(t, err, ErrClosed)
							return
						}
						fs.Store(f, i)
						if i == 10 {
							began <- struct{}{}
						}
					}
				})
			}
			for range 4 {
				receive(t, began)
			}
			for _, end := range []func(*Pool) error{own, own, own, endings["close"], endings[name]} {
				for range 4 {
					enders.Go(func() {
						assert.NoError(t, end(p))
						assert.NoError(t, end(p), "again")
					})
				}
			}
			within(t, "all ends", func() { enders.Wait(); users.Wait() })
			orderly := name == "close" || name == "close in time"
			fs.Range(func(f, i any) bool {
				y, err := f.(*Future[int]).Wait(t.Context())
				switch {
				case err == nil:
					return assert.Equal(t, i.(int)*i.(int), y)
				case orderly:
					return assert.NoError(t, err)
				}
				return assert.ErrorIs(t, err, ErrClosed)
			})
			requireEnded(t, p)
		})
	}
}

// One end after the other, in every order: the first counts. Seen in CPython's test_concurrent_futures, pond and piscina.
func TestEndTwice(t *testing.T) {
	for first, end := range endings {
		for second, again := range endings {
			t.Run(first+", "+second, func(t *testing.T) {
				t.Parallel()
				p, err := New(Options{Workers: 1})
				require.NoError(t, err)
				f, err := square.Go(t.Context(), p, 5)
				require.NoError(t, err)
				require.NoError(t, end(p))
				require.NoError(t, again(p))
				require.True(t, f.finished())
				requireEnded(t, p)
			})
		}
	}
}

// A pool that has nothing to wait for is closed in order, however little time there is.
func TestCloseContextOfIdlePool(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		p, err := New(Options{Workers: 1})
		require.NoError(t, err)
		for range 10 {
			require.NoError(t, p.CloseContext(ctx))
		}
	}
}

// A pool that was closed and still has to wait is terminated: the Close that waits returns too. Seen in piscina's suite.
func TestTerminateWhileClosing(t *testing.T) {
	for _, name := range []string{"terminate", "close at once"} {
		t.Run(name, func(t *testing.T) {
			p, err := New(Options{Workers: 1})
			require.NoError(t, err)
			f := beginEndless(t, t.Context(), p)
			closed := make(chan error, 1)
			go func() { closed <- p.Close() }()
			eventually(t, "it closes", func() bool { return isClosing(p) })
			require.NoError(t, endings[name](p))
			require.NoError(t, receive(t, closed))
			_, err = f.Wait(t.Context())
			require.ErrorIs(t, err, ErrClosed)
			requireEnded(t, p)
		})
	}
}

// Whoever waits for a task may end the pool when it has ended. Seen in loky's suite: a callback that shuts its executor down.
func TestEndFromCompletion(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			p, err := New(Options{Workers: 2})
			require.NoError(t, err)
			var fs []*Future[int]
			for i := range 50 {
				f, err := square.Go(t.Context(), p, i)
				require.NoError(t, err)
				fs = append(fs, f)
			}
			ended := make(chan error, 1)
			go func() {
				<-fs[0].Done()
				ended <- end(p)
			}()
			n := 0
			for f := range AsCompleted(t.Context(), fs...) {
				require.NoError(t, end(p))
				require.True(t, f.finished())
				n++
			}
			require.Len(t, fs, n, "all have ended")
			require.NoError(t, receive(t, ended))
			requireEnded(t, p)
		})
	}
}
