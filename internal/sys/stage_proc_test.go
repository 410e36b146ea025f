//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

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
