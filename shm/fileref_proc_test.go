package shm_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// written returns a file to hand to a child, with v in it.
func written(t *testing.T, v any) *os.File {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	f, err := os.Open(writeFile(t, string(text)))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	return f
}

// readElsewhere returns what a process of its own reads through f's reference.
func readElsewhere(t *testing.T, f *shm.File) string {
	ref, err := f.Ref()
	require.NoError(t, err)
	out, err := child(t, "read ref", written(t, ref))
	require.NoError(t, err, out)
	return out
}

func readRef(input *os.File) error {
	var ref shm.FileRef
	if err := json.NewDecoder(input).Decode(&ref); err != nil {
		return err
	}
	f, err := shm.OpenRef(ref)
	if err != nil {
		return err
	}
	own, err := f.Ref()
	if err != nil {
		return err
	}
	if own.Pid != int32(os.Getpid()) || own.Dev != ref.Dev || own.Ino != ref.Ino || own.Size != ref.Size {
		return fmt.Errorf("the reference to %+v is %+v", ref, own)
	}
	if _, err := os.Stdout.Write(f.Bytes()); err != nil {
		return err
	}
	return f.Close()
}

func TestRefLeadsOtherProcessesToTheFile(t *testing.T) {
	for _, size := range []int{0, 1, page, page + 1} {
		content := strings.Repeat("x", size)
		assert.Equal(t, content, readElsewhere(t, openFile(t, writeFile(t, content))))
	}
}

// The path does not matter any more, and what others write shows: it is the same file.
func TestRefOutlivesThePath(t *testing.T) {
	path := writeFile(t, "abc")
	f := openFile(t, path)
	require.NoError(t, os.WriteFile(path+".new", []byte("another"), 0o600))
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, os.Rename(path+".new", path))
	_, err = w.WriteAt([]byte("Z"), 1)
	require.NoError(t, err)
	assert.Equal(t, "aZc", readElsewhere(t, f), "renamed over")
	require.NoError(t, os.Remove(path))
	assert.Equal(t, "aZc", readElsewhere(t, f), "gone")
}

func TestRefOfClosedFileIsRefusedElsewhere(t *testing.T) {
	f := openFile(t, writeFile(t, "abc"))
	ref, err := f.Ref()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	out, err := child(t, "read ref", written(t, ref))
	require.Error(t, err)
	assert.Equal(t, fmt.Sprintf("open descriptor %d of process %d: the file was closed in process %[2]d meanwhile: file already closed\n",
		ref.Fd, ref.Pid), out)
}

// A file of a process that has ended is not to be had.
func TestRefOfEndedProcess(t *testing.T) {
	path := writeFile(t, "abc")
	out, err := child(t, "make ref", written(t, path))
	require.NoError(t, err, out)
	var ref shm.FileRef
	require.NoError(t, json.Unmarshal([]byte(out), &ref))
	_, err = shm.OpenRef(ref)
	require.ErrorIs(t, err, os.ErrProcessDone)
	assert.EqualError(t, err, fmt.Sprintf("open descriptor %d of process %d: there is no such process: os: process already finished",
		ref.Fd, ref.Pid))
}

func makeRef(input *os.File) error {
	var path string
	if err := json.NewDecoder(input).Decode(&path); err != nil {
		return err
	}
	f, err := shm.OpenFile(path)
	if err != nil {
		return err
	}
	ref, err := f.Ref()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(ref)
}

// Programs that a process starts get none of its files.
func TestFilesAreNotInherited(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "inherited?")
	require.NoError(t, os.WriteFile(path, []byte("abc"), 0o600))
	f := openFile(t, path)
	again, err := shm.OpenRef(must(f.Ref()))
	require.NoError(t, err)
	defer again.Close()
	out, err := child(t, "list all")
	require.NoError(t, err, out)
	assert.NotContains(t, out, path)
	held, err := os.Open(path)
	require.NoError(t, err)
	defer held.Close()
	out, err = child(t, "list all", held)
	require.NoError(t, err, out)
	assert.Contains(t, out, path, "what is handed to it shows")
}

func must(ref shm.FileRef, err error) shm.FileRef {
	if err != nil {
		panic(err)
	}
	return ref
}

func listAll(*os.File) error {
	entries, err := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		link, _ := os.Readlink("/proc/self/fd/" + e.Name())
		_, _ = io.WriteString(os.Stdout, link+"\n")
	}
	return err
}
