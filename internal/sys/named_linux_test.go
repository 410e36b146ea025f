//go:build linux && (amd64 || arm64)

package sys

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// unnamed returns a file in /dev/shm without a name, and a name in a folder there that it may get.
func unnamed(t *testing.T) (f *os.File, path string) {
	dir, err := os.MkdirTemp("/dev/shm", "shmkit-test-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	path = filepath.Join(dir, "name")
	f, err = Unnamed(dir, path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f, path
}

func TestUnnamedGetsOneName(t *testing.T) {
	umask := unix.Umask(0o777)
	f, path := unnamed(t)
	unix.Umask(umask)
	assert.Equal(t, path, f.Name())
	assert.False(t, IsInheritable(int(f.Fd())))
	st, err := StatusOfFile(f)
	require.NoError(t, err)
	assert.Equal(t, FileStatus{Mode: 0o600, Owner: os.Geteuid()}, st)
	names, err := NamesIn(filepath.Dir(path))
	require.NoError(t, err)
	assert.Empty(t, names)

	require.NoError(t, Link(f, path))
	assert.ErrorIs(t, Link(f, path), fs.ErrExist)
	names, err = NamesIn(filepath.Dir(path))
	require.NoError(t, err)
	assert.Equal(t, []string{"name"}, names)
	st, err = StatusOfFile(f)
	require.NoError(t, err)
	assert.EqualValues(t, 1, st.Names)

	require.NoError(t, Unlink(path))
	assert.ErrorIs(t, Unlink(path), fs.ErrNotExist)
	assert.Error(t, Unlink(filepath.Dir(path)), "a directory")
	st, err = StatusOfFile(f)
	require.NoError(t, err)
	assert.Zero(t, st.Names)
}

func TestOpenPathItselfDoesNotFollow(t *testing.T) {
	_, path := unnamed(t)
	require.NoError(t, os.Symlink("elsewhere", path))
	f, err := OpenPathItself(path)
	require.NoError(t, err)
	defer f.Close()
	st, err := StatusOfFile(f)
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSymlink, st.Mode.Type())
}

func TestReopenWritable(t *testing.T) {
	f, path := unnamed(t)
	require.NoError(t, Link(f, path))
	look, err := OpenPathItself(path)
	require.NoError(t, err)
	defer look.Close()
	w, err := ReopenWritable(look)
	require.NoError(t, err)
	defer w.Close()
	assert.False(t, IsInheritable(int(w.Fd())))
	_, err = w.WriteString("abc")
	require.NoError(t, err)
	st, err := StatusOfFile(f)
	require.NoError(t, err)
	assert.EqualValues(t, 3, st.Size)
}

// What a file has already is part of what it can have.
func TestFileRoom(t *testing.T) {
	f, _ := unnamed(t)
	const size = 4 << 20
	require.NoError(t, f.Truncate(size))
	require.NoError(t, Allocate(f, 0, size))
	room, err := FileRoom(f)
	require.NoError(t, err)
	var st unix.Statfs_t
	require.NoError(t, unix.Fstatfs(int(f.Fd()), &st))
	if st.Blocks == 0 {
		assert.EqualValues(t, math.MaxInt64, room)
	} else { // others may have taken or left some in between
		assert.InDelta(t, int64(st.Bavail)*st.Bsize+size, room, size/2)
	}
	memfd, err := Memfd("room", 1)
	require.NoError(t, err)
	defer memfd.Close()
	room, err = FileRoom(memfd)
	require.NoError(t, err)
	assert.EqualValues(t, math.MaxInt64, room, "it is on no file system that has a size")
}

// Each open file has its lock, until all descriptors of it are closed.
func TestFlock(t *testing.T) {
	f, path := unnamed(t)
	require.NoError(t, Link(f, path))
	other, err := os.Open(path)
	require.NoError(t, err)
	defer other.Close()
	free := func() bool {
		free, err := TryLock(other)
		require.NoError(t, err)
		if free {
			require.NoError(t, Unlock(other))
		}
		return free
	}
	assert.True(t, free())
	require.NoError(t, LockShared(f))
	assert.False(t, free())
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	assert.False(t, free(), "a child would have it too")
	require.NoError(t, unix.Close(fd))
	assert.True(t, free())
	_, err = TryLock(f)
	assert.Error(t, err, "a closed file")
	assert.Error(t, LockShared(f))
}
