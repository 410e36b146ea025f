//go:build linux && (amd64 || arm64)

package process_test

import (
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
)

func threads(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	return len(entries)
}

func TestWatchingCostsNoThreads(t *testing.T) {
	const n = 50
	children := make([]*child, n)
	before := threads(t)
	for i := range children {
		children[i] = startChild(t, process.Options{})
	}
	for _, c := range children {
		c.ping()
	}
	assert.Less(t, threads(t)-before, n/5)
	for _, c := range children {
		require.NoError(t, c.in.Close())
	}
	for _, c := range children {
		require.NoError(t, c.Wait(watchdog(t)))
	}
}

func TestManyStartedAndKilledAtOnce(t *testing.T) {
	const n = 100
	ctx := watchdog(t)
	in, _ := pipe(t) // nothing comes: children wait
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			p, err := serve.Start(process.Options{Files: []*os.File{in, in}})
			if !assert.NoError(t, err) {
				return
			}
			assert.NoError(t, p.Kill())
			<-p.Done()
			var exit *process.ExitError
			if assert.ErrorAs(t, p.Wait(ctx), &exit, "child %d", i) {
				assert.Equal(t, syscall.SIGKILL, exit.Signal)
			}
			assert.Equal(t, os.ErrProcessDone, p.Kill())
		})
	}
	all.Wait()
	_, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	assert.Equal(t, syscall.ECHILD, err, "no child is left, dead or alive")
}

// Signals and the end race for the pid; none may hit another process, which would
// be another child here.
func TestSignalsRaceWithTheEnd(t *testing.T) {
	bystander := startChild(t, process.Options{})
	for range 5 {
		p := startEnding(t, "return")
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for p.Signal(syscall.SIGWINCH) == nil {
				}
				assert.Equal(t, os.ErrProcessDone, p.Signal(os.Kill))
			})
		}
		all.Wait()
		<-p.Done()
	}
	bystander.ping()
	bystander.end()
}
