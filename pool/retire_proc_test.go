//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var pidOf = Func("pid of", func(_ context.Context, x int) (upshot, error) { return upshot{X: x, Pid: os.Getpid()}, nil })

// Workers that have run their number of tasks are replaced, and no task waits for one that is gone. The first three numbers are
// those with which CPython's executor left tasks behind (test_concurrent_futures).
func TestMaxTasksPerWorker(t *testing.T) {
	for _, c := range []struct{ workers, limit, tasks int }{{1, 2, 6}, {2, 2, 8}, {1, 1, 5}, {2, 3, 100}, {3, 50, 1000}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			note := filepath.Join(t.TempDir(), "note")
			p := start(t, Options{Workers: c.workers, MaxTasksPerWorker: c.limit, OnExit: leaveNote.With(note)})
			var fs []*Future[upshot]
			for i := range c.tasks {
				f, err := pidOf.Go(t.Context(), p, i)
				require.NoError(t, err)
				fs = append(fs, f)
			}
			ran := map[int]int{}
			for i, f := range fs {
				u, err := f.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, i, u.X)
				ran[u.Pid]++
			}
			for pid, n := range ran {
				assert.LessOrEqual(t, n, c.limit, "worker %d", pid)
			}
			require.Zero(t, p.Stats().Deaths, "they have not died")
			require.FileExists(t, note, "OnExit has run")
		})
	}
}

// Items of a Map count, wherever a chunk is cut.
func TestMaxTasksInMap(t *testing.T) {
	const limit, n = 700, 20_000
	p := start(t, Options{Workers: 2, MaxTasksPerWorker: limit})
	ran := map[int]int{}
	i := 0
	for u, err := range pidOf.Map(t.Context(), p, numbers(n)) {
		require.NoError(t, err)
		require.Equal(t, i, u.X)
		ran[u.Pid]++
		i++
	}
	require.Equal(t, n, i)
	for pid, k := range ran {
		assert.LessOrEqual(t, k, limit, "worker %d", pid)
	}
	require.Zero(t, p.Stats().Deaths)
	require.Zero(t, p.Stats().Outstanding)
}

// Workers retire while others are killed, and nothing is lost.
func TestRetireBesideDeaths(t *testing.T) {
	p := start(t, Options{Workers: 2, MaxTasksPerWorker: 5, Retries: 100})
	var fs []*Future[int]
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	for i := range 300 {
		if i%30 == 0 {
			f, err := attempts.Go(t.Context(), p, attempt{dirs[i/30%3], i / 90, nil})
			require.NoError(t, err)
			fs = append(fs, f)
			continue
		}
		f, err := square.Go(t.Context(), p, i)
		require.NoError(t, err)
		fs = append(fs, f)
	}
	for f := range AsCompleted(t.Context(), fs...) {
		_, err := f.Wait(t.Context())
		require.NoError(t, err)
	}
	require.False(t, slices.ContainsFunc(fs, func(f *Future[int]) bool { return !f.finished() }))
	require.NotZero(t, p.Stats().Deaths)
	require.Zero(t, p.Stats().Outstanding)
}

// A worker that retires and does not come to its end is killed, and replaced like any other.
// Seen in pebble's suite.
func TestRetireThatHangs(t *testing.T) {
	going := filepath.Join(t.TempDir(), "going")
	p, err := New(Options{Workers: 1, MaxTasksPerWorker: 2, OnExit: neverLeave.With(going)})
	require.NoError(t, err)
	defer p.Terminate()
	for i := range 3 {
		same(t, p, echoInt, i)
	}
	require.FileExists(t, going)
	require.EqualValues(t, 2, p.Stats().Started)
}
