//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMemfdHuge(t *testing.T) {
	size, err := HugePageSize()
	if err != nil {
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		return
	}
	f, err := MemfdHuge("huge", 2*size)
	require.NoError(t, err)
	defer f.Close()
	assert.NoError(t, CheckSeals(f))
	got, err := PageSize(f)
	require.NoError(t, err)
	assert.Equal(t, size, got)

	free := HugePagesFree(size)
	m, err := MapHuge(f, 2*size, true)
	require.NoError(t, err)
	assert.Len(t, m, int(2*size))
	assert.Equal(t, free, HugePagesFree(size), "mapping takes and promises nothing")
	require.NoError(t, Retire(m))
	mapping := mmap.MMap(m)
	assert.NoError(t, mapping.Unmap(), "as if it had mapped it")
}

func TestPageSizeOfOrdinaryMemory(t *testing.T) {
	f, err := Memfd("small", 1)
	require.NoError(t, err)
	defer f.Close()
	size, err := PageSize(f)
	require.NoError(t, err)
	assert.EqualValues(t, os.Getpagesize(), size)
	require.NoError(t, f.Close())
	_, err = PageSize(f)
	assert.Error(t, err)
}

// Where a touch would fault, populating fails.
func TestPopulate(t *testing.T) {
	f, err := Memfd("populate", 4096)
	require.NoError(t, err)
	defer f.Close()
	readOnly, err := mmap.MapRegion(f, 4096, mmap.RDONLY, 0, 0)
	require.NoError(t, err)
	defer readOnly.Unmap()
	assert.Error(t, Populate(readOnly))
	m, err := mmap.MapRegion(f, 3*4096, mmap.RDWR, 0, 0)
	require.NoError(t, err)
	defer m.Unmap()
	assert.NoError(t, Populate(m[:1]))
	assert.Error(t, Populate(m), "it goes beyond the end of the file")
}

// A file is looked at without being opened, and then opened whatever the path leads to.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("abc"), 0o600))
	look, err := OpenPath(path)
	require.NoError(t, err)
	defer look.Close()
	flags, err := unix.FcntlInt(look.Fd(), unix.F_GETFL, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.O_PATH)
	require.NoError(t, os.Remove(path))
	f, err := Reopen(look)
	require.NoError(t, err)
	defer f.Close()
	var buf [4]byte
	n, err := f.Read(buf[:])
	require.NoError(t, err)
	assert.Equal(t, "abc", string(buf[:n]))

	var st unix.Stat_t
	require.NoError(t, unix.Fstat(int(f.Fd()), &st))
	for _, same := range []*os.File{look, f} {
		dev, ino, err := FileID(same)
		require.NoError(t, err)
		assert.Equal(t, [2]uint64{st.Dev, st.Ino}, [2]uint64{dev, ino})
	}
	for _, fd := range []uintptr{look.Fd(), f.Fd()} {
		assert.False(t, IsInheritable(int(fd)))
	}
	require.NoError(t, f.Close())
	_, _, err = FileID(f)
	assert.ErrorIs(t, err, os.ErrClosed)
}
