package shm_test

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

func openRef(t *testing.T, ref shm.FileRef) *shm.File {
	f, err := shm.OpenRef(ref)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	return f
}

// Each who has the file can refer to it, and closes it for himself alone.
func TestRefOfRef(t *testing.T) {
	path := writeFile(t, "abc")
	first := openFile(t, path)
	second := openRef(t, must(first.Ref()))
	require.NoError(t, first.Close())
	third := openRef(t, must(second.Ref()))
	require.NoError(t, second.Close())
	assert.Equal(t, "abc", string(third.Bytes()))
	assert.EqualValues(t, 3, third.Size())
	assert.True(t, faults(func() { third.Bytes()[0] = 'z' }), "it is read-only")
	require.NoError(t, third.Close())
	assert.PanicsWithValue(t, fmt.Sprintf("shm: Bytes of file %q after Close", path), func() { third.Bytes() })
}

func TestRefSaysWhich(t *testing.T) {
	path := writeFile(t, "abc")
	f := openFile(t, path)
	ref := must(f.Ref())
	assert.EqualValues(t, os.Getpid(), ref.Pid)
	assert.EqualValues(t, 3, ref.Size)
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", ref.Fd))
	require.NoError(t, err)
	assert.Equal(t, path, link)
}

// As many bytes are mapped as the other has, though the file has more by now.
func TestRefOfGrownFile(t *testing.T) {
	path := writeFile(t, "abc")
	f := openFile(t, path)
	empty := openFile(t, writeFile(t, ""))
	require.NoError(t, os.WriteFile(path, []byte("abcdef"), 0o600))
	assert.Equal(t, "abc", string(openRef(t, must(f.Ref())).Bytes()))
	assert.Empty(t, openRef(t, must(empty.Ref())).Bytes())
}

func TestRefOfClosedFile(t *testing.T) {
	for _, content := range []string{"", "abc"} {
		path := writeFile(t, content)
		f := openFile(t, path)
		ref := must(f.Ref())
		require.NoError(t, f.Close())
		_, err := f.Ref()
		assert.ErrorIs(t, err, os.ErrClosed)
		assert.ErrorContains(t, err, fmt.Sprintf("refer to file %q", path))
		_, err = shm.OpenRef(ref)
		assert.ErrorIs(t, err, os.ErrClosed)

		other := openFile(t, writeFile(t, "other")) // the descriptor's number is used again
		ref.Fd = must(other.Ref()).Fd
		_, err = shm.OpenRef(ref)
		assert.ErrorIs(t, err, os.ErrClosed)
		assert.ErrorContains(t, err, fmt.Sprintf("the file was closed in process %d meanwhile", ref.Pid))
	}
}

func TestRefOfTruncatedFile(t *testing.T) {
	path := writeFile(t, strings.Repeat("x", 10))
	f := openFile(t, path)
	ref := must(f.Ref())
	require.NoError(t, os.Truncate(path, 9))
	want := fmt.Sprintf("file %q had 10 bytes when it was opened and has 9 now: file was truncated", path)
	_, err := f.Ref()
	assert.ErrorIs(t, err, shm.ErrTruncated)
	assert.EqualError(t, err, "refer to file: "+want)
	_, err = shm.OpenRef(ref)
	assert.ErrorIs(t, err, shm.ErrTruncated)
	assert.EqualError(t, err, fmt.Sprintf("open descriptor %d of process %d: %s", ref.Fd, ref.Pid, want))
	require.NoError(t, os.Truncate(path, 10))
	assert.Len(t, openRef(t, must(f.Ref())).Bytes(), 10, "as long as before")
}

func TestOpenRefRefuses(t *testing.T) {
	leak.Check(t)
	good := shm.FileRef{Pid: int32(os.Getpid()), Fd: 1}
	for _, change := range []func(*shm.FileRef){
		func(r *shm.FileRef) { r.Pid = 0 },
		func(r *shm.FileRef) { r.Pid = -1 },
		func(r *shm.FileRef) { r.Fd = -1 },
		func(r *shm.FileRef) { r.Size = -1 },
	} {
		r := good
		change(&r)
		_, err := shm.OpenRef(r)
		assert.ErrorIs(t, err, os.ErrInvalid)
		assert.ErrorContains(t, err, fmt.Sprintf("%+v", r))
	}
	nobody := shm.FileRef{Pid: math.MaxInt32}
	_, err := shm.OpenRef(nobody)
	assert.ErrorIs(t, err, os.ErrProcessDone)
}

// A reference is to a regular file, whatever somebody has put together.
func TestRefOfPipe(t *testing.T) {
	leak.Check(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	dev, ino, err := sys.FileID(r)
	require.NoError(t, err)
	_, err = shm.OpenRef(shm.FileRef{Pid: int32(os.Getpid()), Fd: int32(r.Fd()), Dev: dev, Ino: ino})
	assert.ErrorIs(t, err, os.ErrInvalid)
	assert.ErrorContains(t, err, "is a pipe, only regular files can be mapped")
}

func TestRefOfForeignProcess(t *testing.T) {
	err := shm.FileRef{Pid: 1, Fd: 7}.Explain(&os.PathError{Op: "open", Path: "/proc/1/fd/7", Err: os.ErrPermission})
	assert.ErrorIs(t, err, os.ErrPermission)
	assert.ErrorContains(t, err, "both must be of the same user")
	assert.Equal(t, os.ErrDeadlineExceeded, shm.FileRef{Pid: 1}.Explain(os.ErrDeadlineExceeded), "what is not known is passed on")
}

// One descriptor is all that a file costs, and refusing costs none, without the garbage collector's help.
func TestRefCostsOneDescriptor(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	path := writeFile(t, "abc")
	before := descriptors(t)
	f := openFile(t, path)
	ref := must(f.Ref())
	openRef(t, ref)
	assert.Equal(t, before+2, descriptors(t))
	ref.Ino++
	_, err := shm.OpenRef(ref)
	assert.ErrorIs(t, err, os.ErrClosed)
	_, err = shm.OpenFile("/proc/self/status")
	assert.Error(t, err)
	assert.Equal(t, before+2, descriptors(t))
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
