//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// dieOnceReady has a worker die right after it was ready, as long as there is the file.
var dieOnceReady = InitFunc("die once ready", func(_ context.Context, file string) error {
	if _, err := os.Stat(file); err != nil {
		return nil
	}
	go func() {
		for bootStatus(processContexts.worker.area.status.Load()) != serving {
			runtime.Gosched()
		}
		os.Exit(4)
	}()
	return nil
})

// Workers that die as soon as they are ready, without having run anything, are started again ever more slowly, and at once when
// that has passed.
func TestDeathsOfIdleWorkers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "die")
	p := start(t, Options{Workers: 1, Init: dieOnceReady.With(file)})
	same(t, p, echoInt, 1)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	killWorkers(t, p)
	eventually(t, "they die in a row", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.members[0].idleDeaths >= 4
	})
	require.LessOrEqual(t, p.Stats().Started, uint64(7))
	require.NoError(t, os.Remove(file))
	same(t, p, echoInt, 2)
	killWorkers(t, p)
	eventually(t, "a death after a task is a death like any other", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.members[0].idleDeaths == 0
	})
}

// A pool whose workers hang in OnExit kills them after a while, and says so.
func TestCloseBesideHungExit(t *testing.T) {
	p, err := New(Options{Workers: 2, OnExit: neverLeave.With("/dev/null")})
	require.NoError(t, err)
	require.ErrorContains(t, p.Close(), "2 workers had not ended after 5s and were killed")
	require.ErrorContains(t, p.Close(), "2 workers had not ended", "which is said to all who close it")
}
