//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// openFiles lists what a worker has open.
var openFiles = Func("open files", func(context.Context, none) ([]string, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // the directory's own is closed
			targets = append(targets, e.Name()+" "+target)
		}
	}
	return targets, nil
})

// A worker has open what it needs, in number and in kind, however much work there was and however many were there before it. Of what
// its parent has open it has nothing. Seen in loky's suite and in CPython's test_multiprocessing.
func TestWorkersOpenFiles(t *testing.T) {
	secret, err := os.Create(t.TempDir() + "/secret")
	require.NoError(t, err)
	defer secret.Close()
	for range 20 { // as C code may: not close-on-exec
		fd, err := syscall.Open(secret.Name(), syscall.O_RDONLY, 0)
		require.NoError(t, err)
		defer syscall.Close(fd)
	}
	p := start(t, Options{Workers: 1})
	look := func() []string {
		files, err := openFiles.Call(t.Context(), p, none{})
		require.NoError(t, err)
		require.False(t, slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, "secret") }), "%v", files)
		return files
	}
	work := func() {
		require.Equal(t, 100, mapped(t, p, 100))
		same(t, p, echoBytes, []byte("near"), bytes.Repeat([]byte{1}, 1<<20))
		same(t, p, echoString, strings.Repeat("x", 100_000))
		_, err := misbehave.Call(t.Context(), p, "panic")
		require.Error(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		_, err = block.Call(ctx, p, 1)
		require.Error(t, err)
	}
	work() // the runtime opens what it needs when it needs it
	first := look()
	require.LessOrEqual(t, len(first), 14, "%v", first)
	for range 20 {
		work()
	}
	require.Equal(t, first, look())
	own, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for range 5 {
		_, err := die.Call(t.Context(), p, "kill")
		require.ErrorIs(t, err, ErrWorkerDied)
		work()
		require.Len(t, look(), len(first))
	}
	now, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	require.Len(t, now, len(own), "the parent has as many as before")
}
