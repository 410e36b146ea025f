package main

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/pool"
)

// changing is what a walk finds and somebody changes before the workers come to it.
func changing(path string, size int64, change func() error) iter.Seq[task] {
	return func(yield func(task) bool) {
		if err := change(); err != nil {
			panic(err)
		}
		yield(task{[]piece{{Path: path, To: size, Size: size}}})
	}
}

func TestFileChangesBeforeItIsCounted(t *testing.T) {
	p, err := pool.New(pool.Options{Workers: 1})
	require.NoError(t, err)
	defer p.Close()
	path := write(t, 100, t.TempDir(), "file")
	for _, c := range []struct {
		change func() error
		want   string
	}{
		{func() error { return os.Truncate(path, 99) }, path + " had 100 bytes when it was found and now has 99"},
		{func() error { return os.Remove(path) }, path + ": no such file"},
	} {
		_, err := countAll(t.Context(), p, changing(path, 100, c.change), func(int64) {})
		assert.ErrorContains(t, err, c.want)
	}
}

// whenMapped calls do with a worker that has the file mapped, as soon as there is one.
func whenMapped(t *testing.T, path string, do func(pid int)) {
	t.Helper()
	end := time.After(patience)
	again := time.NewTicker(time.Millisecond) // nothing announces a mapping
	defer again.Stop()
	for {
		select {
		case <-end:
			require.FailNow(t, "no worker maps the file")
		case <-again.C:
		}
		if pid := mapper(t, path); pid != 0 {
			do(pid)
			return
		}
	}
}

// mapper returns a child process that has the file mapped, or 0.
func mapper(t *testing.T, path string) int {
	t.Helper()
	maps, err := filepath.Glob("/proc/[0-9]*/maps")
	require.NoError(t, err)
	for _, name := range maps {
		data, _ := os.ReadFile(name) // nothing, if the process has ended
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		require.NoError(t, err)
		if pid != os.Getpid() && strings.Contains(string(data), path+"\n") {
			return pid
		}
	}
	return 0
}

// long makes a file whose only word, of zeros, takes a while to count.
func long(t *testing.T) string { return write(t, 8<<30, t.TempDir(), "long") }

func TestFileIsCutShortWhileItIsCounted(t *testing.T) {
	path := long(t)
	ended := start("-workers", "2", path)
	whenMapped(t, path, func(int) { require.NoError(t, os.Truncate(path, 0)) })
	o := wait(t, ended)
	assert.Equal(t, 1, o.code)
	// Another piece of the same file may be the first to notice, when it opens it.
	assert.Regexp(t, "^wordcount: count: "+path+" (was cut short|had 8589934592 bytes)", o.stderr)
	assert.Empty(t, o.stdout)
}

func TestWorkerIsKilled(t *testing.T) {
	path := long(t)
	ended := start("-workers", "1", path)
	whenMapped(t, path, func(pid int) {
		worker, err := os.FindProcess(pid)
		require.NoError(t, err)
		defer worker.Release()
		require.NoError(t, worker.Kill())
	})
	o := wait(t, ended)
	assert.Equal(t, 1, o.code)
	assert.Regexp(t, "^wordcount: count "+path+": worker .*killed", o.stderr)
	assert.Empty(t, o.stdout)
}

// A dead worker's error is told with the files of its task, however many.
func TestErrorNamesFiles(t *testing.T) {
	died := fmt.Errorf("call: %w", &pool.WorkerDiedError{Pid: 7, Signal: "killed", Func: "count"})
	for n, want := range map[int]string{
		1: "count a: call: worker 7",
		2: "count a, b: call: worker 7",
		4: "count a, d and what is between them, 4 files in all: call: worker 7",
	} {
		var tk task
		for _, name := range slices.Collect(strings.SplitSeq("abcd", ""))[:n] {
			tk.Pieces = append(tk.Pieces, piece{Path: name})
		}
		err := inTask(tk, died)
		assert.ErrorContains(t, err, want)
		assert.ErrorIs(t, err, pool.ErrWorkerDied)
	}
}
