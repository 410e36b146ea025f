//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// eats takes so many MiB of memory of its own, MiB after MiB, and keeps them.
var eats = Func("eats", func(_ context.Context, n int) (int, error) {
	for range n {
		b := make([]byte, mib)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		eaten = append(eaten, b)
	}
	return os.Getpid(), nil
})

var eaten [][]byte

// stands leaves a note with its pid and goes on once the gate is open.
var stands = Func("stands", func(_ context.Context, dir string) (int, error) {
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("pid-", os.Getpid())), nil, 0o600); err != nil {
		return 0, err
	}
	f, err := os.Open(filepath.Join(dir, "gate"))
	if err != nil {
		return 0, err
	}
	return os.Getpid(), f.Close()
})

// standing waits until n workers have stood at the gate, and returns their pids.
func standing(t *testing.T, dir string, n int) (pids []int) {
	t.Helper()
	var notes []string
	eventually(t, "a worker stands at the gate", func() bool {
		notes, _ = filepath.Glob(filepath.Join(dir, "pid-*"))
		return len(notes) == n
	})
	for _, note := range notes {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(note), "pid-"))
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	return pids
}

// A worker that was stopped is ended after the grace period, and its task begins again if it may. Others go on. Not seen in any suite.
func TestStoppedWorker(t *testing.T) {
	p := start(t, Options{Workers: 2, Grace: 300 * time.Millisecond})
	for _, retries := range []int{0, 1} {
		g := newGate(t)
		dir := filepath.Dir(g.path)
		f, err := stands.With(Retries(retries)).Go(t.Context(), p, dir)
		require.NoError(t, err)
		pid := standing(t, dir, 1)[0]
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
		for i := range 100 {
			same(t, p, echoInt, i)
		}
		if retries == 0 {
			_, err = f.Wait(t.Context())
			var died *WorkerDiedError
			require.ErrorAs(t, err, &died)
			require.Equal(t, pid, died.Pid)
			require.ErrorContains(t, err, "it was stopped")
			continue
		}
		standing(t, dir, 2)
		g.open()
		again, err := f.Wait(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, pid, again)
	}
	requireStaff(t, p, 2)
}

// One that is stopped before it gets a task may hold up those that it has taken: it is ended, too.
func TestStoppedIdleWorkers(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: 300 * time.Millisecond})
	same(t, p, echoInt, 1)
	suspend(t, pids(p)[0]) // or it may still run the task
	same(t, p, echoInt, 2)
	require.EqualValues(t, 1, p.Stats().Deaths)
}

// A worker that a debugger has stopped is left alone, however long.
func TestTracedWorker(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f, err := block.Go(ctx, p, 0)
	require.NoError(t, err)
	eventually(t, "the task runs", func() bool { return runningSlot(p) >= 0 })
	tracer := seize(t, pids(p)[0], 0)
	tracer.interrupt()
	for range 20 {
		p.makeRounds()
	}
	p.mu.Lock()
	require.Zero(t, p.members[0].vital.stops)
	require.False(t, p.members[0].doomed)
	p.mu.Unlock()
	tracer.detach()
	require.False(t, f.finished())
}

// A worker that uses too much memory is replaced after its task, and no task is lost.
func TestMaxMemoryPerWorker(t *testing.T) {
	p := start(t, Options{Workers: 2, MaxMemoryPerWorker: 128 * mib})
	seen := map[int]int{}
	for range 60 { // 3 MiB each, as in loky's suite
		pid, err := eats.Call(t.Context(), p, 20)
		require.NoError(t, err)
		seen[pid]++
		p.makeRounds() // as the timer does
	}
	require.Greater(t, len(seen), 3)
	for pid, n := range seen {
		assert.LessOrEqual(t, n, 10, "tasks of worker %d, which takes 20 MiB in each", pid)
	}
	require.Zero(t, p.Stats().Deaths)
	require.Zero(t, p.Stats().Failed)
}

// One that uses far too much is killed at once, in the middle of its task, which fails and says why. Others do not notice.
func TestKillMemoryPerWorker(t *testing.T) {
	p := start(t, Options{Workers: 2, KillMemoryPerWorker: 200 * mib, GOMEMLIMIT: 1 << 40})
	bystander := workOn(t, p)
	_, err := eats.Call(t.Context(), p, 1<<20) // a TiB: it never ends by itself
	require.ErrorIs(t, err, ErrMemoryLimit)
	require.ErrorIs(t, err, ErrWorkerDied)
	require.ErrorContains(t, err, "while it ran eats")
	require.ErrorContains(t, err, "209715200")
	bystander()
	require.EqualValues(t, 1, p.Stats().Failed)
	requireStaff(t, p, 2)
}

// Such a task may begin again, as after any other death.
func TestKilledForMemoryBeginsAgain(t *testing.T) {
	p := start(t, Options{Workers: 1, KillMemoryPerWorker: 200 * mib, GOMEMLIMIT: 1 << 40})
	dir := t.TempDir()
	pid, err := eatsOnce.With(Retries(1)).Call(t.Context(), p, dir)
	require.NoError(t, err)
	require.Equal(t, pids(p)[0], pid)
	require.EqualValues(t, 1, p.Stats().Deaths)
	_, err = eats.With(Retries(1)).Call(t.Context(), p, 1<<20)
	var died *WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.ErrorIs(t, died, ErrMemoryLimit)
	require.Len(t, died.Earlier, 1)
	require.ErrorIs(t, died.Earlier[0], ErrMemoryLimit)
}

// eatsOnce eats far too much the first time.
var eatsOnce = Func("eats once", func(ctx context.Context, dir string) (int, error) {
	if err := os.Mkdir(filepath.Join(dir, "eaten"), 0o700); err == nil {
		return eats.fn(ctx, 1<<20)
	}
	return os.Getpid(), nil
})

// workOn runs small tasks until it is told to stop, and checks them.
func workOn(t *testing.T, p *Pool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			y, err := square.Call(context.Background(), p, i%1000)
			assert.NoError(t, err)
			assert.Equal(t, (i%1000)*(i%1000), y)
		}
	}()
	return func() { cancel(); <-done }
}

// While nothing runs nobody looks.
func TestNoRoundsWhileIdle(t *testing.T) {
	p := start(t, Options{Workers: 1, MaxMemoryPerWorker: 1 << 40})
	same(t, p, echoInt, 1)
	eventually(t, "the rounds end", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return !p.observing })
}
