package shm_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/shm"
)

func writeFile(t *testing.T, content string) string {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func openFile(t *testing.T, path string) *shm.File {
	leak.Check(t)
	f, err := shm.OpenFile(path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	return f
}

func TestOpenFile(t *testing.T) {
	for _, size := range []int{0, 1, page, page + 1} {
		content := strings.Repeat("x", size)
		f := openFile(t, writeFile(t, content))
		assert.Equal(t, content, string(f.Bytes()))
		assert.EqualValues(t, size, f.Size())
		require.NoError(t, f.Close())
		assert.NoError(t, f.Close(), "a second time")
		assert.Panics(t, func() { f.Bytes() })
		assert.EqualValues(t, size, f.Size())
	}
}

func TestFileIsReadOnly(t *testing.T) {
	path := writeFile(t, "abc")
	f := openFile(t, path)
	assert.True(t, faults(func() { f.Bytes()[0] = 'z' }))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "abc", string(content))
}

func TestFileShowsWrites(t *testing.T) {
	path := writeFile(t, "abc")
	f := openFile(t, path)
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = w.WriteAt([]byte("Z"), 1)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	assert.Equal(t, "aZc", string(f.Bytes()))
}

func TestTruncatedFileFaults(t *testing.T) {
	path := writeFile(t, strings.Repeat("x", 2*page))
	f := openFile(t, path)
	require.NoError(t, os.Truncate(path, page))
	assert.Equal(t, byte('x'), f.Bytes()[page-1])
	assert.True(t, faults(func() { seen = f.Bytes()[page] }))
}

func TestStaleFileSliceFaults(t *testing.T) {
	f := openFile(t, writeFile(t, "abc"))
	stale := f.Bytes()
	require.NoError(t, f.Close())
	other := openFile(t, writeFile(t, "def"))
	assert.True(t, faults(func() { seen = stale[0] }))
	assert.Equal(t, "def", string(other.Bytes()))
}

func TestOpenFileRefuses(t *testing.T) {
	leak.Check(t)
	socket := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer l.Close()
	for path, want := range map[string]string{
		t.TempDir():              "is a directory, only regular files can be mapped",
		os.DevNull:               "is a device, only regular files can be mapped",
		socket:                   "is a socket, only regular files can be mapped",
		pipe(t):                  "is a pipe, only regular files can be mapped",
		"/proc/self/status":      "it has content but no size: read it instead",
		filepath.Join("a", "b"):  "no such file",
		"":                       "no such file",
		writeFile(t, "c") + "/d": "not a directory",
	} {
		_, err := shm.OpenFile(path)
		require.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "map file")
		assert.ErrorContains(t, err, path)
	}
}

// pipe returns a path that leads to a pipe.
func pipe(t *testing.T) string {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, w.Close())
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return fmt.Sprintf("/proc/self/fd/%d", r.Fd())
}
