//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// A reading is a file to be read, in a while if a path is given: once that is there.
type reading struct {
	F      *shm.File
	Also   struct{ F *shm.File }
	Page   int // that is read
	Ready  string
	Go     string
	Closed bool
}

var (
	readFile = Func("read file", func(_ context.Context, f *shm.File) ([]byte, error) { return f.Bytes(), nil })
	readPage = Func("read page", func(ctx context.Context, r reading) (int, error) {
		if r.Closed {
			return 0, r.F.Close()
		}
		if r.Ready != "" {
			must(0, os.WriteFile(r.Ready, nil, 0o600))
			for ctx.Err() == nil {
				if _, err := os.Stat(r.Go); err == nil {
					break
				}
				runtime.Gosched()
			}
		}
		n := int(r.F.Bytes()[r.Page*pageBytes])
		if r.Also.F != nil {
			n += int(r.Also.F.Bytes()[0])
		}
		return n, nil
	})
)

// newFile writes a file and maps it.
func newFile(t *testing.T, name string, content []byte) (path string, f *shm.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	f, err := shm.OpenFile(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return path, f
}

func TestFilesAsArguments(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for _, n := range []int{0, 1, pageBytes, pageBytes + 1, 3 * mib} {
		content := bytes.Repeat([]byte{'a'}, n)
		path, f := newFile(t, "f", content)
		for range 3 {
			got, err := readFile.Call(t.Context(), p, f)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got))
		}
		require.NoError(t, os.WriteFile(path+".new", []byte("another"), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
		got, err := readFile.Call(t.Context(), p, f)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got), "it is the file that was opened")
		require.NoError(t, os.Remove(path))
		got, err = readFile.Call(t.Context(), p, f)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got))
	}
	r := reading{Page: 1}
	_, r.F = newFile(t, "f", bytes.Repeat([]byte{3}, 2*pageBytes))
	_, r.Also.F = newFile(t, "g", []byte{4})
	for range 4 { // also after a task has closed what is not its own
		n, err := readPage.Call(t.Context(), p, r)
		require.NoError(t, err)
		require.Equal(t, 7, n)
		_, err = readPage.Call(t.Context(), p, reading{F: r.F, Closed: true})
		require.NoError(t, err)
	}
	_, err := readFile.Call(t.Context(), p, nil)
	require.ErrorContains(t, err, "panic", "nil stays nil")
	requireNothingHeld(t, p)
}

func TestFilesThatAreGone(t *testing.T) {
	p := start(t, Options{Workers: 1})
	path, f := newFile(t, "f", make([]byte, 2*pageBytes))
	release := hold(t, p)
	fut, err := readFile.Go(t.Context(), p, f)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, pageBytes))
	_, err = readFile.Go(t.Context(), p, f)
	require.ErrorIs(t, err, shm.ErrTruncated)
	require.ErrorContains(t, err, "read file: encode argument")
	release()
	_, err = fut.Wait(t.Context())
	var failed *TaskError
	require.ErrorAs(t, err, &failed, "it was cut before the worker looked")
	require.ErrorIs(t, err, shm.ErrTruncated)

	_, closed := newFile(t, "g", []byte("abc"))
	release = hold(t, p)
	fut, err = readFile.Go(t.Context(), p, closed)
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	_, err = readFile.Call(t.Context(), p, closed)
	require.ErrorIs(t, err, os.ErrClosed)
	release()
	_, err = fut.Wait(t.Context())
	require.ErrorAs(t, err, &failed)
	require.ErrorIs(t, err, os.ErrClosed)
	require.Zero(t, p.Stats().Deaths)
	requireNothingHeld(t, p)
}

// A file that is cut while a task reads it ends that task's worker alone.
func TestFileCutWhileRead(t *testing.T) {
	p := start(t, Options{Workers: 1})
	path, f := newFile(t, "f", make([]byte, 4*pageBytes))
	dir := t.TempDir()
	r := reading{F: f, Page: 3, Ready: filepath.Join(dir, "ready"), Go: filepath.Join(dir, "go")}
	fut, err := readPage.Go(t.Context(), p, r)
	require.NoError(t, err)
	eventually(t, "the task runs", func() bool { _, err := os.Stat(r.Ready); return err == nil })
	require.NoError(t, os.Truncate(path, 0))
	require.NoError(t, os.WriteFile(r.Go, nil, 0o600))
	_, err = fut.Wait(t.Context())
	var died *WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Contains(t, died.Traceback, "SIGBUS")
	require.Equal(t, "read page", died.Func)
	same(t, p, echoInt, 1)
}

// A file that nobody else refers to stays open until its task has ended.
func TestFileIsKept(t *testing.T) {
	p := start(t, Options{Workers: 1})
	release := hold(t, p)
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("abc"), 0o600))
	fut, err := readFile.Go(t.Context(), p, must(shm.OpenFile(path)))
	require.NoError(t, err)
	collect := func() { // what has a cleanup goes with the second round, and its cleanup runs at some time
		for range 3 {
			runtime.GC()
			done := make(chan struct{})
			runtime.AddCleanup(new([64]byte), func(done chan struct{}) { close(done) }, done)
			runtime.GC()
			receive(t, done)
		}
	}
	collect()
	release()
	got, err := fut.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, "abc", string(got))
	eventually(t, "nobody has the file any more", func() bool { collect(); return !hasOpen(t, os.Getpid(), path) })
}

// hasOpen reports whether a process has the file open.
func hasOpen(t *testing.T, pid int, path string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if link, _ := os.Readlink(filepath.Join(dir, e.Name())); link == path {
			return true
		}
	}
	return false
}

// Workers keep a few files mapped, however many there are.
func TestManyFiles(t *testing.T) {
	p := start(t, Options{Workers: 1})
	pid := p.Workers()[0].Pid
	open := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		require.NoError(t, err)
		return len(entries)
	}
	_, first := newFile(t, "f", []byte("abc"))
	_, err := readFile.Call(t.Context(), p, first) // with which the worker opens what its runtime needs
	require.NoError(t, err)
	before := open()
	for round := range 2 {
		for k := range 40 {
			content := fmt.Append(nil, round, k)
			_, f := newFile(t, "f", content)
			got, err := readFile.Call(t.Context(), p, f)
			require.NoError(t, err)
			require.Equal(t, content, got)
		}
	}
	same(t, p, echoInt, 1) // the task before has let go now
	require.Equal(t, before+mostFiles-1, open())
}

type fileOut struct{ F *shm.File }

func TestFuncRefusesFiles(t *testing.T) {
	for want, register := range map[string]func(){
		"a file can be an argument only": func() { Func("refused", func(context.Context, int) (*shm.File, error) { return nil, nil }) },
		"fileOut.F":                      func() { Func("refused", func(context.Context, int) (fileOut, error) { return fileOut{}, nil }) },
		"[]*shm.File":                    func() { Func("refused", func(context.Context, []*shm.File) (int, error) { return 0, nil }) },
	} {
		require.Contains(t, panicOf(register), want)
	}
}
