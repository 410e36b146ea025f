//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	// patient ends when its context does, unless x is not negative.
	patient = Func("patient", func(ctx context.Context, x int) (int, error) {
		if x < 0 {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return x * x, nil
	})

	// mistrustful does likewise, and looks for a while whether it has really ended: while a Map's consumer waits, it asks for what there
	// is of the chunk every 50 ms.
	mistrustful = Func("mistrustful", func(ctx context.Context, x int) (int, error) {
		if x < 0 {
			<-ctx.Done()
			for over := time.Now().Add(150 * time.Millisecond); time.Now().Before(over); {
				if ctx.Err() == nil {
					return x, nil
				}
			}
			return 0, ctx.Err()
		}
		return x * x, nil
	})

	// stubborn goes on for ever if x is negative.
	stubborn = Func("stubborn", func(_ context.Context, x int) (int, error) {
		for x < 0 {
			spun++
		}
		return x * x, nil
	})
)

// A task that runs for too long ends by itself, or with its worker; the caller has the error either way.
// Seen in pebble's suite.
func TestTimeout(t *testing.T) {
	for name, o := range map[string]Options{
		"of the pool": {Workers: 1, TaskTimeout: soon},
		"of the call": {Workers: 1, TaskTimeout: watchdog},
	} {
		t.Run(name, func(t *testing.T) {
			o.Grace = watchdog
			p := start(t, o)
			listens, goesOn := patient, spinning
			if name == "of the call" {
				listens, goesOn = patient.With(Timeout(soon)), spinning.With(Timeout(soon))
			}
			_, err := listens.Call(t.Context(), p, -1)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Zero(t, p.Stats().Deaths, "it has listened")
			o.Grace = soon
			p = start(t, o)
			_, err = goesOn.Call(t.Context(), p, filepath.Join(t.TempDir(), "began"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			same(t, p, echoInt, 1, 2, 3)
			require.EqualValues(t, 1, p.Stats().Deaths)
			eventually(t, "the clock rests", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.timed == 0 && !p.ticking })
		})
	}
}

// Time in the queue does not count.
func TestTimeoutCountsFromTheStart(t *testing.T) {
	p := start(t, Options{Workers: 1})
	release := hold(t, p)
	f, err := square.With(Timeout(time.Millisecond)).Go(t.Context(), p, 7)
	require.NoError(t, err)
	for range 10 {
		p.mu.Lock()
		ticking := p.ticking
		p.mu.Unlock()
		require.True(t, ticking)
		require.False(t, isReady(f, 2*time.Millisecond))
	}
	release()
	y, err := f.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 49, y)
}

func isReady[T any](f *Future[T], within time.Duration) bool {
	select {
	case <-f.Done():
		return true
	case <-time.After(within):
		return false
	}
}

// In a Map each item has its own time: one that is too long fails alone, whether it listens or not, and the others of its chunk
// have their results.
func TestTimeoutOfItems(t *testing.T) {
	xs := make([]int, 3000)
	for i := range xs {
		xs[i] = i
		if i == 5 || i == 1500 {
			xs[i] = -1
		}
	}
	for name, f := range map[string]*Function[int, int]{"listens": patient, "listens twice": mistrustful, "goes on": stubborn} {
		t.Run(name, func(t *testing.T) {
			grace := watchdog
			if f == stubborn {
				grace = soon
			}
			p := start(t, Options{Workers: 2, Grace: grace})
			i := 0
			for y, err := range f.With(Timeout(25*soon)).Map(t.Context(), p, slices.Values(xs)) {
				if xs[i] < 0 {
					require.ErrorIs(t, err, context.DeadlineExceeded, "item %d", i)
				} else {
					require.NoError(t, err, "item %d", i)
					require.Equal(t, i*i, y)
				}
				i++
			}
			require.Equal(t, len(xs), i)
			if f != stubborn {
				require.Zero(t, p.Stats().Deaths)
			}
		})
	}
}
