//go:build linux && (amd64 || arm64)

package sys

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// onOwnThread runs f on a thread that nobody uses afterwards, whatever f has done to it.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends
		f()
	}()
	<-done
}

// The kernel leaves out what it cannot grant, as long as something remains.
func TestSetCPUsIsAllOrAnError(t *testing.T) {
	onOwnThread(func() {
		var set unix.CPUSet
		assert.NoError(t, unix.SchedGetaffinity(0, &set))
		first := 0
		for !set.IsSet(first) {
			first++
		}
		assert.NoError(t, SetCPUs([]int{first}))
		assert.NoError(t, unix.SchedGetaffinity(0, &set))
		assert.Equal(t, 1, set.Count())
		assert.True(t, set.IsSet(first))

		err := SetCPUs([]int{first, maxCPUs - 1})
		assert.ErrorIs(t, err, unix.EINVAL)
		assert.ErrorContains(t, err, "CPU 1023 is not granted")
		err = SetCPUs([]int{maxCPUs - 1})
		assert.ErrorIs(t, err, unix.EINVAL)
		assert.ErrorContains(t, err, "run on CPUs [1023]")
	})
}

func TestSetNice(t *testing.T) {
	onOwnThread(func() {
		const own = 20 // the system call returns 20 less the niceness
		before, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
		assert.NoError(t, err)
		nicer := min(own-before+1, 19)
		assert.NoError(t, SetNice(nicer))
		after, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
		assert.NoError(t, err)
		assert.Equal(t, nicer, own-after)
	})
}
