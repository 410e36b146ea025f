//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// staff counts the workers that have started, and those that are still there.
func staff(p *Pool) (ready, alive int) {
	for _, w := range p.Workers() {
		alive++
		if w.Ready {
			ready++
		}
	}
	return ready, alive
}

func requireStaff(t *testing.T, p *Pool, n int) {
	t.Helper()
	eventually(t, "there are as many workers as there should be", func() bool {
		ready, alive := staff(p)
		return ready == n && alive == n
	})
}

// The sequence is loky's: there, each step waits for the one before.
var resizes = []int{12, 2, 1, 12, 6, 1, 8, 5}

// As pond's and loky's suites have it, but without waiting, under load.
func TestResizeUnderLoad(t *testing.T) {
	p := start(t, Options{Workers: 3, MaxWorkers: 12})
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for _, n := range resizes {
			assert.NoError(t, p.Resize(n))
			for x := range 50 {
				y, err := square.Call(t.Context(), p, x)
				assert.NoError(t, err)
				assert.Equal(t, x*x, y)
			}
		}
	}()
	rounds := 0
	for running := true; running; rounds++ {
		i := 0
		for y, err := range square.Map(t.Context(), p, numbers(2000)) {
			require.NoError(t, err)
			require.Equal(t, i*i, y)
			i++
		}
		require.Equal(t, 2000, i)
		select {
		case <-stop:
			running = false
		default:
		}
	}
	t.Logf("%d rounds of a Map", rounds)
	requireStaff(t, p, 5)
	require.Zero(t, p.Stats().Deaths, "nobody has died: they were told")
	same(t, p, echoInt, 1, 2, 3)
}

// Not seen in any suite: workers are killed at random meanwhile.
func TestResizeUnderKills(t *testing.T) {
	p := start(t, Options{Workers: 3, MaxWorkers: 12, Retries: 100})
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() {
		for ctx.Err() == nil {
			killOne(p)
			_, err := echoInt.Call(ctx, p, 1)
			assert.True(t, err == nil || ctx.Err() != nil, "%v", err)
		}
	})
	for range 3 {
		for _, n := range resizes {
			require.NoError(t, p.Resize(n))
			for range 20 {
				x := rand.IntN(1000)
				y, err := square.Call(t.Context(), p, x)
				require.NoError(t, err)
				require.Equal(t, x*x, y)
			}
		}
	}
	cancel()
	others.Wait()
	requireStaff(t, p, 5)
	require.Positive(t, p.Stats().Deaths)
}

// killOne ends a random worker.
func killOne(p *Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.members[rand.IntN(len(p.members))]; m.proc != nil {
		_ = m.proc.Kill()
	}
}

// Workers that are too many end after their task, and not before; those that are missing take what waits at once.
func TestResizeWaitsForTasks(t *testing.T) {
	p := start(t, Options{Workers: 4})
	release := hold(t, p)
	waiting, err := square.Go(t.Context(), p, 7)
	require.NoError(t, err)
	before := p.Workers()
	require.NoError(t, p.Resize(1))
	require.Equal(t, before, p.Workers(), "they are at work")

	require.NoError(t, p.Resize(2)) // another starts beside them
	y, err := waiting.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 49, y)
	release()
	requireStaff(t, p, 2)
}

func TestResizeRefuses(t *testing.T) {
	p := start(t, Options{Workers: 2, MaxWorkers: 3})
	require.ErrorContains(t, p.Resize(0), "to 0 workers: it must be between 1 and MaxWorkers, 3")
	require.ErrorContains(t, p.Resize(4), "to 4 workers")
	require.NoError(t, p.Close())
	require.ErrorIs(t, p.Resize(1), ErrClosed)
	_, err := New(Options{Workers: 4, MaxWorkers: 3})
	require.ErrorContains(t, err, "option Workers is 4: MaxWorkers is only 3")
}
