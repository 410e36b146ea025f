//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// An attempt kills its workers until there are so many marks in its folder.
type attempt struct {
	Dir   string
	Times int
	Data  []int
}

var attempts = Func("attempts", func(_ context.Context, a attempt) (int, error) {
	marks, err := os.ReadDir(a.Dir)
	if err != nil {
		return 0, err
	}
	for _, x := range a.Data {
		if x != 7 {
			return 0, errors.New("the argument was changed")
		}
	}
	for i := range a.Data {
		a.Data[i] = 0 // its own copy
	}
	if len(marks) < a.Times {
		f, err := os.CreateTemp(a.Dir, "")
		if err != nil {
			return 0, err
		}
		f.Close()
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return len(marks), nil
})

func sevens(n int) []int { return slices.Repeat([]int{7}, n) }

// A task with retries begins again with what it was given; one that kills all its workers is given up, with all deaths.
func TestRetries(t *testing.T) {
	p := start(t, Options{Workers: 2, Retries: 1})
	for _, n := range []int{1, 20, 10_000} {
		got, err := attempts.With(Retries(3)).Call(t.Context(), p, attempt{t.TempDir(), 3, sevens(n)})
		require.NoError(t, err)
		require.Equal(t, 3, got)
		got, err = attempts.Call(t.Context(), p, attempt{t.TempDir(), 1, sevens(n)})
		require.NoError(t, err, "the pool's own")
		require.Equal(t, 1, got)
		_, err = attempts.With(Retries(0)).Call(t.Context(), p, attempt{t.TempDir(), 1, sevens(n)})
		require.ErrorIs(t, err, ErrWorkerDied)
		_, err = attempts.With(Retries(2)).Call(t.Context(), p, attempt{t.TempDir(), 9, sevens(n)})
		var died *WorkerDiedError
		require.ErrorAs(t, err, &died)
		require.Len(t, died.Earlier, 2)
		require.ErrorContains(t, err, "as 2 did before")
		for _, e := range died.Earlier {
			require.Equal(t, "killed", e.Signal)
			require.NotEqual(t, died.Pid, e.Pid)
		}
	}
	requireNoBlocks(t, p)
	require.Zero(t, p.Stats().Outstanding)
}

// Items of a Map are retried like tasks.
func TestRetriesInMap(t *testing.T) {
	p := start(t, Options{Workers: 2})
	dirs := []attempt{}
	for range 10 {
		dirs = append(dirs, attempt{t.TempDir(), 1, sevens(3)})
	}
	n := 0
	for got, err := range attempts.With(Retries(1)).Map(t.Context(), p, slices.Values(dirs)) {
		require.NoError(t, err)
		require.Equal(t, 1, got)
		n++
	}
	require.Equal(t, 10, n)
	require.EqualValues(t, 10, p.Stats().Deaths)
	// Plain items too, which would travel by the chunk.
	mark := filepath.Join(t.TempDir(), "mark")
	t.Setenv("RETRY_MARK", mark)
	q := start(t, Options{Workers: 1, Retries: 1})
	i := 0
	for y, err := range dieOnce.Map(t.Context(), q, numbers(100)) {
		require.NoError(t, err)
		require.Equal(t, i, y)
		i++
	}
	require.Equal(t, 100, i)
	require.EqualValues(t, 1, q.Stats().Deaths)
}

// dieOnce kills its worker at 50, unless that has happened.
var dieOnce = Func("die once", func(_ context.Context, x int) (int, error) {
	if x == 50 {
		f, err := os.OpenFile(os.Getenv("RETRY_MARK"), os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	return x, nil
})

// Whoever may have changed a block is not followed by another; nor is a task that was to end.
func TestNoRetry(t *testing.T) {
	p := start(t, Options{Workers: 1, Retries: 5, Grace: soon})
	b, err := NewBlock[int](t.Context(), p, 1)
	require.NoError(t, err)
	b.Slice()[0] = 1
	_, err = dieOdd.Call(t.Context(), p, dated{B: b})
	var died *WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, 1, died.Blocks)
	require.Empty(t, died.Earlier)
	_, err = spinning.With(Timeout(soon)).Call(t.Context(), p, filepath.Join(t.TempDir(), "began"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	eventually(t, "the worker is replaced", func() bool { return p.Stats().Deaths == 2 })
	same(t, p, echoInt, 1)
	require.Zero(t, p.Stats().Outstanding)
	require.Panics(t, func() { Retries(-1) })
	require.Panics(t, func() { Timeout(-1) })
}
