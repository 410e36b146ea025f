//go:build linux && (amd64 || arm64)

package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fakeProc is a folder like /proc. What its descriptors lead to exists, under names that the kernel would give.
type fakeProc struct {
	t   *testing.T
	dir string
}

func (f fakeProc) process(pid int, status string) string {
	dir := filepath.Join(f.dir, fmt.Sprint(pid))
	require.NoError(f.t, os.MkdirAll(filepath.Join(dir, "fd"), 0o700))
	require.NoError(f.t, os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o600))
	return dir
}

const ordinary = "Name:\tworker  one\nState:\tS (sleeping)\nPPid:\t1\nUid:\t5\t7\t5\t5\nNSpid:\t%d\n"

func TestProcesses(t *testing.T) {
	f := fakeProc{t, t.TempDir()}
	f.process(10, fmt.Sprintf(ordinary, 10))
	f.process(11, "Name:\tinner\nUid:\t7\t7\t7\t7\nNSpid:\t11\t3\n")
	f.process(12, "Name:\tother\nUid:\t8\t8\t8\t8\n")
	f.process(13, "Name:\tdead\nState:\tZ (zombie)\nUid:\t7\t7\t7\t7\n")
	f.process(14, "\x00\xff:::\n\nUid:\nPPid:\tmany\n")
	blind := f.process(15, fmt.Sprintf(ordinary, 15))
	require.NoError(t, os.Remove(filepath.Join(blind, "fd")))
	require.NoError(t, os.WriteFile(filepath.Join(blind, "fd"), nil, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(f.dir, "16"), 0o700)) // just gone
	require.NoError(t, os.Mkdir(filepath.Join(f.dir, "sys"), 0o700))

	c, err := look(f.dir, 7, 9)
	require.NoError(t, err)
	assert.Equal(t, []Process{{10, 10, 1, "worker one"}, {11, 3, 0, "inner"}, {15, 15, 1, "worker one"}}, c.seen)
	assert.True(t, c.seen[1].Foreign())
	require.Len(t, c.Blind, 1)
	assert.Equal(t, 15, c.Blind[0].Pid)
	assert.Error(t, c.Blind[0].Err)

	c, err = look(f.dir, 0, 10)
	require.NoError(t, err)
	assert.Len(t, c.seen, 4, "root sees all users', and not itself")
}

func TestExplain(t *testing.T) {
	assert.ErrorContains(t, explain(&os.PathError{Op: "open", Path: "/proc/1/fd", Err: os.ErrPermission}), "not dumpable")
	assert.Equal(t, os.ErrClosed, explain(os.ErrClosed))
}

// A file in /dev/shm is found with whoever has it open, under whatever name it was made, and with whoever has it mapped.
func TestNamed(t *testing.T) {
	name := fmt.Sprintf("shmkit-test-%d-inspect", os.Getpid())
	path := namedPrefix + name
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	defer os.Remove(path)
	m, err := fileAt(path)
	require.NoError(t, err)
	f := fakeProc{t, t.TempDir()}
	has := f.process(20, fmt.Sprintf(ordinary, 20))
	maps := f.process(21, fmt.Sprintf(ordinary, 21))
	require.NoError(t, os.Symlink(path, filepath.Join(has, "fd", "4")))
	require.NoError(t, os.Symlink(path, filepath.Join(has, "fd", "5")))
	require.NoError(t, os.Symlink("/dev/null", filepath.Join(has, "fd", "0")))
	lines := "7f00-7f01 r--p 00000000 00:01 12 /usr/lib/libc.so\nnonsense\n7f01-7f02 rw-s 00000000 00:1a %d /dev/shm/#%d (deleted)\n" +
		"7f02-7f03 rw-s 00000000 00:1a x /dev/shm/y\n7f03-7f04 rw-s 00000000 00:1a 99 /dev/shm/z\n"
	require.NoError(t, os.WriteFile(filepath.Join(maps, "maps"), fmt.Appendf(nil, lines, m.Ino, m.Ino), 0o600))

	c, err := look(f.dir, 7, 1)
	require.NoError(t, err)
	require.Len(t, c.Named, 1)
	assert.Equal(t, int64(1), c.Named[0].Size)
	one := Process{20, 20, 1, "worker one"}
	assert.Equal(t, []Use{{one, 4}}, c.UsersOf(path))
	c.LookAtMappings()
	two := Process{21, 21, 1, "worker one"}
	assert.Equal(t, []Use{{one, 4}, {two, -1}}, c.UsersOf(path))
	assert.Len(t, c.Named, 2, "and the one that somebody has mapped alone")
	assert.Empty(t, c.UsersOf(namedPrefix+"nonsense"))
}

// What somebody has done to a descriptor since it was seen is not opened.
func TestOpen(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	require.NoError(t, err)
	defer file.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	m, err := fileAt(path)
	require.NoError(t, err)
	self := Process{Pid: os.Getpid(), Inner: os.Getpid()}
	m.Uses = []Use{{self, int(file.Fd())}}
	f, err := m.Open()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	assert.True(t, m.StillHas(m.Uses[0]))

	m.Ino++
	assert.False(t, m.StillHas(m.Uses[0]))
	_, err = m.Open()
	require.ErrorIs(t, err, os.ErrClosed)
	m.Uses = []Use{{self, 1 << 20}}
	assert.False(t, m.StillHas(m.Uses[0]))
	_, err = m.Open()
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = (&Memory{}).Open()
	require.ErrorIs(t, err, os.ErrNotExist)
}
