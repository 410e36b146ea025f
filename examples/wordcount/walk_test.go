package main

import (
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func walkAll(t *testing.T, s settings, paths ...string) []task {
	t.Helper()
	roots, err := lookAt(paths)
	require.NoError(t, err)
	w := &walker{keep: s.wants}
	tasks := slices.Collect(w.tasks(roots))
	require.NoError(t, w.err)
	return tasks
}

// write makes a file of so many bytes, without blocks on the disk.
func write(t *testing.T, size int64, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	require.NoError(t, os.Truncate(name, size))
	return name
}

// Pieces cover each file once, and no task is too large.
func TestTasks(t *testing.T) {
	dir := t.TempDir()
	sizes := map[string]int64{}
	for name, size := range map[string]int64{
		"0": 0, "1": 1, "exact": taskBytes, "more": taskBytes + 1, "less": taskBytes - 1, "three": 3 * taskBytes,
	} {
		sizes[write(t, size, dir, "sub", name)] = size
		sizes[write(t, size, dir, name)] = size
	}
	for i := range 2 * taskBytes / fileBytes {
		sizes[write(t, 0, dir, "empty", string(rune('a'+i)))] = 0
	}
	covered := map[string]int64{}
	for _, task := range walkAll(t, settings{}, dir) {
		require.NotEmpty(t, task.Pieces)
		var bytes int64
		for _, p := range task.Pieces {
			assert.Equal(t, covered[p.Path], p.From)
			assert.Equal(t, sizes[p.Path], p.Size)
			covered[p.Path] = p.To
			bytes += p.To - p.From
		}
		assert.LessOrEqual(t, bytes, int64(taskBytes))
		assert.LessOrEqual(t, len(task.Pieces), taskBytes/fileBytes)
	}
	assert.Equal(t, sizes, covered)
}

func TestOnlyRegularFilesInDirectories(t *testing.T) {
	dir := t.TempDir()
	file := write(t, 1, dir, "file")
	other := write(t, 1, t.TempDir(), "other")
	require.NoError(t, os.Symlink(other, filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink(filepath.Dir(other), filepath.Join(dir, "dirlink")))
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	require.NoError(t, err)
	defer l.Close()
	mkfifo(t, filepath.Join(dir, "fifo"))
	tasks := walkAll(t, settings{}, dir)
	require.Len(t, tasks, 1)
	assert.Equal(t, []piece{{Path: file, To: 1, Size: 1}}, tasks[0].Pieces)

	// What the user names is meant, be it a link.
	tasks = walkAll(t, settings{}, filepath.Join(dir, "link"), filepath.Join(dir, "dirlink"))
	require.Len(t, tasks, 1)
	assert.Equal(t, []piece{
		{Path: filepath.Join(dir, "link"), To: 1, Size: 1},
		{Path: filepath.Join(dir, "dirlink", "other"), To: 1, Size: 1},
	}, tasks[0].Pieces)
}

func TestExtensions(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.go", "b.txt", "c", "go", "d.tar.gz", "e.gz"} {
		write(t, 0, dir, name)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"a.go", "b.txt", "c", "d.tar.gz", "e.gz", "go"}},
		{[]string{"-ext", ".go"}, []string{"a.go"}},
		{[]string{"-ext", "go,.txt"}, []string{"a.go", "b.txt"}},
		{[]string{"-ext", ".go", "-ext", "tar.gz"}, []string{"a.go", "d.tar.gz"}},
	} {
		s, err := parse(c.args, t.Output())
		require.NoError(t, err)
		names := map[string]bool{}
		for _, task := range walkAll(t, s, dir) {
			for _, p := range task.Pieces {
				names[filepath.Base(p.Path)] = true
			}
		}
		assert.Equal(t, c.want, slices.Sorted(maps.Keys(names)), "%v", c.args)
	}
}

// A directory that has vanished since it was named ends the walk with an error.
func TestWalkFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	require.NoError(t, os.Mkdir(dir, 0o700))
	roots, err := lookAt([]string{dir})
	require.NoError(t, err)
	require.NoError(t, os.Remove(dir))
	w := &walker{keep: settings{}.wants}
	assert.Empty(t, slices.Collect(w.tasks(roots)))
	assert.ErrorIs(t, w.err, fs.ErrNotExist)
	assert.ErrorContains(t, w.err, dir)
}

// The walk goes no further than its consumer.
func TestWalkStops(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		write(t, taskBytes, dir, name)
	}
	roots, err := lookAt([]string{dir})
	require.NoError(t, err)
	w := &walker{keep: settings{}.wants}
	for range w.tasks(roots) {
		break
	}
	assert.Less(t, w.found.Load(), int64(3*taskBytes))
}
