//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// corpus makes files of many sizes, empty ones and ones larger than a slot included.
func corpus(t *testing.T, n int) string {
	t.Helper()
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("dir %d", i%7), fmt.Sprint("file ", i))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		data := make([]byte, rng.IntN(1<<rng.IntN(18)))
		for k := range data {
			data[k] = byte(rng.IntN(8))
		}
		require.NoError(t, os.WriteFile(name, data, 0o600))
	}
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "link")))
	return dir
}

// requireSame checks that below to lie the compressed files of from, and nothing else.
func requireSame(t *testing.T, from, to string) {
	t.Helper()
	paths := func(dir, ext string) (paths []string) {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				path, err = filepath.Rel(dir, path)
				paths = append(paths, path+ext)
			}
			return err
		}))
		return paths
	}
	want := paths(from, ".gz")
	require.ElementsMatch(t, want, paths(to, ""))
	for _, path := range want {
		f, err := os.Open(filepath.Join(to, path))
		require.NoError(t, err)
		z, err := gzip.NewReader(f)
		require.NoError(t, err, path)
		got, err := io.ReadAll(z)
		require.NoError(t, err, path)
		f.Close()
		was, err := os.ReadFile(filepath.Join(from, path[:len(path)-len(".gz")]))
		require.NoError(t, err)
		require.True(t, bytes.Equal(was, got), path)
	}
}

var report = regexp.MustCompile(`^(\d+) files, (\d+) bytes to (\d+), \d+\.\d\d s, (\d+) processes, (\d+) killed\n$`)

func TestProgram(t *testing.T) {
	from, to := corpus(t, 300), t.TempDir()
	var stdout, stderr bytes.Buffer
	require.Zero(t, run([]string{"-packers", "2", from, to}, &stdout, &stderr), stderr.String())
	numbers := report.FindStringSubmatch(stdout.String())
	require.NotNil(t, numbers, stdout.String())
	assert.Equal(t, []string{"300", "4", "0"}, []string{numbers[1], numbers[4], numbers[5]})
	requireSame(t, from, to)
}

// Whichever kind of process is killed, and however often: nothing is missing, and nothing is there twice.
func TestKilled(t *testing.T) {
	from, to := corpus(t, 400), t.TempDir()
	began := time.Now()
	_, err := compress(t.Context(), settings{packers: 2, from: from, to: to})
	require.NoError(t, err)
	killed, every := 0, max(time.Since(began)/3, time.Millisecond) // a process that lives for less does not get to do anything
	for round := 0; killed < 20; round++ {
		require.NoError(t, os.RemoveAll(to))
		total, err := compress(t.Context(), settings{packers: 2, kill: every, from: from, to: to})
		require.NoError(t, err)
		require.Equal(t, 400, total.files)
		require.LessOrEqual(t, total.started, 4+total.died, "only who has died was replaced")
		requireSame(t, from, to)
		killed += total.died
		require.Less(t, round, 500, "nobody is killed")
	}
}

func TestWhatCannotBeDone(t *testing.T) {
	from := corpus(t, 10)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, tt := range map[string]struct {
		args []string
		code int
		text string
	}{
		"no arguments":      {nil, 2, "usage: pipeline"},
		"no packers":        {[]string{"-packers", "0", "out"}, 2, "0 packers"},
		"negative time":     {[]string{"-kill", "-1s", "out"}, 2, "every -1s"},
		"no such directory": {[]string{filepath.Join(from, "none"), t.TempDir()}, 1, "no such file or directory"},
		"a file":            {[]string{file, t.TempDir()}, 1, "is not a directory"},
		"into a file":       {[]string{from, file}, 1, "not a directory"},
		"help":              {[]string{"-h"}, 0, "usage: pipeline"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			assert.Equal(t, tt.code, run(tt.args, &stdout, &stderr))
			assert.Contains(t, stderr.String(), tt.text)
			assert.Empty(t, stdout.String())
		})
	}
}

// A file that cannot be written ends the program with an error that names it.
func TestWhatCannotBeWritten(t *testing.T) {
	from, to := corpus(t, 50), t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(to, "dir 3", "file 3.gz", "in the way"), 0o700))
	_, err := compress(t.Context(), settings{packers: 1, from: from, to: to})
	require.ErrorContains(t, err, "dir 3/file 3")
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil {
		_, err := compress(ctx, settings{packers: 1, from: corpus(t, 300), to: t.TempDir()})
		if ctx.Err() != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
}
