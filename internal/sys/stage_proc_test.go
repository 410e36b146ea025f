//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// onThread runs f on a thread of its own, whose settings end with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		f()
	}()
	<-done
}

func TestSetNice(t *testing.T) {
	onThread(func() {
		assert.NoError(t, SetNice(19))
		prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
		assert.NoError(t, err)
		assert.Equal(t, 20-19, prio, "the system call returns 20 - niceness")
	})
}

func TestSetAffinity(t *testing.T) {
	onThread(func() {
		var before, after unix.CPUSet
		assert.NoError(t, unix.SchedGetaffinity(0, &before))
		cpu := 0
		for !before.IsSet(cpu) {
			cpu++
		}
		assert.NoError(t, SetAffinity([]int{cpu}))
		assert.NoError(t, unix.SchedGetaffinity(0, &after))
		assert.True(t, after.IsSet(cpu))
		assert.Equal(t, 1, after.Count())
		assert.ErrorIs(t, SetAffinity(nil), unix.EINVAL)
	})
}

func TestSetComm(t *testing.T) {
	before, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	defer func() { require.NoError(t, SetComm(strings.TrimSpace(string(before)))) }()
	require.NoError(t, SetComm("sixteen letters!"))
	after, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	assert.Equal(t, "sixteen letters\n", string(after))
}

func TestSetCloexec(t *testing.T) {
	fd, err := unix.Dup(0)
	require.NoError(t, err)
	require.NoError(t, SetCloexec(fd))
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.Equal(t, unix.FD_CLOEXEC, flags)
	require.NoError(t, Close(uintptr(fd)))
	assert.ErrorIs(t, SetCloexec(fd), unix.EBADF)
}

func TestReadStat(t *testing.T) {
	var buf [1024]byte
	line, err := ReadStat(os.Getpid(), buf[:])
	require.NoError(t, err)
	assert.Contains(t, string(line), " (")
	assert.True(t, strings.HasSuffix(string(line), "\n"), "it fits")
	_, err = ReadStat(1<<22, buf[:])
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestReapNobody(t *testing.T) {
	exit, err := Reap(1 << 22)
	assert.ErrorIs(t, err, unix.ECHILD)
	assert.Equal(t, Exit{Code: -1}, exit)
}

func TestErrno(t *testing.T) {
	err := errors.Join(errors.New("a"), &fs.PathError{Err: unix.EPERM})
	assert.Equal(t, int(unix.EPERM), ErrnoOf(err))
	assert.Zero(t, ErrnoOf(errors.New("a")))
	assert.ErrorIs(t, Errno(ErrnoOf(err)), fs.ErrPermission)
}
