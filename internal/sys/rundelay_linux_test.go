//go:build linux && (amd64 || arm64)

package sys

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Two threads on one processor: each waits while the other runs.
func TestRunDelay(t *testing.T) {
	before, err := RunDelay(os.Getpid())
	require.NoError(t, err)
	var own unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &own))
	cpu := 0
	for !own.IsSet(cpu) {
		cpu++
	}
	var over atomic.Bool
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			runtime.LockOSThread() // and not unlocked: the thread, which is confined, ends
			assert.NoError(t, SetCPUs([]int{cpu}))
			for !over.Load() {
			}
		})
	}
	require.Eventually(t, func() bool {
		now, err := RunDelay(os.Getpid()) // while the threads are there
		return err == nil && now-before > 10*time.Millisecond
	}, 30*time.Second, time.Millisecond)
	over.Store(true)
	busy.Wait()
	_, err = RunDelay(1 << 30)
	assert.Error(t, err)
}

func TestParseRunDelay(t *testing.T) {
	d, err := parseRunDelay([]byte("228682 4884 2\n"))
	require.NoError(t, err)
	assert.Equal(t, 4884*time.Nanosecond, d)
	for _, bad := range []string{"", "1 2", "1 x 3", "1 99999999999999999999 3"} {
		_, err := parseRunDelay([]byte(bad))
		assert.Error(t, err, bad)
	}
}
