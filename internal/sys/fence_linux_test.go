//go:build linux && (amd64 || arm64)

package sys

import (
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Two who each store a word and then load the other's: one of them at least sees what the other stored, although only one fences, for both.
func TestFenceAll(t *testing.T) {
	AcceptFences()
	deadline := time.Now().Add(30 * time.Second)
	for !ordered && !accepted.Load() {
		require.True(t, time.Now().Before(deadline), "the kernel lets nobody fence for others")
		Pause(100)
	}
	const last = ^uint64(0)
	if !ordered {
		visitAll(t)
	}
	var mine, theirs, seen, turn, done struct {
		atomic.Uint64
		_ [120]byte
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := uint64(1); ; i++ {
			for turn.Load() != i {
				if turn.Load() == last {
					return
				}
				Pause(1)
			}
			PublishStore64(&theirs.Uint64, i)
			seen.Store(mine.Load())
			done.Store(i)
		}
	}()
	begun := time.Now()
	for i := uint64(1); i < 100 || time.Since(begun) < time.Second; i++ {
		turn.Store(i)
		mine.Store(i)
		FenceAll()
		saw := theirs.Load()
		for done.Load() != i {
			Pause(1)
		}
		if saw != i && seen.Load() != i {
			require.Fail(t, "neither saw what the other stored", "round %d", i)
		}
	}
	turn.Store(last)
	<-ended
}

// visitAll has another process run on each processor: the kernel then knows of all that this one has had registered.
func visitAll(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &all))
	defer func() { require.NoError(t, unix.SchedSetaffinity(0, &all)) }()
	for cpu := range 8 * len(all) * int(unsafe.Sizeof(all[0])) {
		if !all.IsSet(cpu) {
			continue
		}
		var one unix.CPUSet
		one.Set(cpu)
		require.NoError(t, unix.SchedSetaffinity(0, &one))
		require.NoError(t, exec.Command(SelfExe, "-test.run=^$").Run()) // from this thread, and so on that processor
	}
}
