//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
)

// A nesting is a task that makes a pool of its own for the same with one level less, down to 0.
type nesting struct {
	Depth int
	Dir   string
	Stay  bool // at the innermost level, until the context ends
	Die   bool // there, too
}

// nest leaves a file at each level, with its pid, and returns how many levels there are below.
var nest = Func("nest", nestHere)

func init() { nestBelow = nest.Call }

// nestBelow is nest.Call, which the function itself cannot name.
var nestBelow func(context.Context, *Pool, nesting) (int, error)

func nestHere(ctx context.Context, n nesting) (int, error) {
	name := filepath.Join(n.Dir, fmt.Sprint(n.Depth))
	if err := os.WriteFile(name+".new", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return 0, err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return 0, err
	}
	if n.Depth == 0 {
		switch {
		case n.Stay:
			<-ctx.Done()
			return 0, ctx.Err()
		case n.Die:
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return 0, nil
	}
	p, err := New(Options{Workers: 1, Name: fmt.Sprintf("nested %d", n.Depth)})
	if err != nil {
		return 0, err
	}
	defer p.Terminate()
	n.Depth--
	below, err := nestBelow(ctx, p, n)
	return below + 1, err
}

// Pools in workers of pools in workers: results and deaths come up through all levels, and a worker that is killed takes
// all below it along. Seen in loky's suite, which bounds the depth.
func TestNestingDepth(t *testing.T) {
	const depth = 3
	p := start(t, Options{Workers: 1})
	got, err := nest.Call(t.Context(), p, nesting{Depth: depth, Dir: t.TempDir()})
	require.NoError(t, err)
	require.Equal(t, depth, got)

	_, err = nest.Call(t.Context(), p, nesting{Depth: depth, Dir: t.TempDir(), Die: true})
	require.ErrorContains(t, err, "nest: nest: nest: worker ")
	require.ErrorContains(t, err, "was ended by a signal (killed) while it ran nest")
	require.Zero(t, p.Stats().Deaths, "its own worker is well")

	dir := t.TempDir()
	f, err := nest.Go(t.Context(), p, nesting{Depth: depth, Dir: dir, Stay: true})
	require.NoError(t, err)
	eventually(t, "the innermost runs", func() bool { _, err := os.Stat(filepath.Join(dir, "0")); return err == nil })
	var family []owner.ID
	for level := range depth + 1 {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(level)))
		require.NoError(t, err)
		pid, err := strconv.Atoi(string(text))
		require.NoError(t, err)
		id, err := owner.Of(pid)
		require.NoError(t, err)
		family = append(family, id)
	}
	killWorkers(t, p)
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, ErrWorkerDied)
	for level, id := range family {
		eventually(t, fmt.Sprintf("level %d is gone", level), func() bool { return !id.Alive() })
	}
	same(t, p, echoInt, 1)
}

// A context that ends ends the tasks of all levels, and their pools.
func TestNestedContext(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: watchdog})
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	f, err := nest.Go(ctx, p, nesting{Depth: 2, Dir: dir, Stay: true})
	require.NoError(t, err)
	eventually(t, "the innermost runs", func() bool { _, err := os.Stat(filepath.Join(dir, "0")); return err == nil })
	cancel()
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, context.Canceled)
	same(t, p, echoInt, 1)
	require.Zero(t, p.Stats().Deaths)
}
