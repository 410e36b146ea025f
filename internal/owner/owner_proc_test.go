//go:build linux && (amd64 || arm64)

package owner

import (
	"io/fs"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const patience = 30 * time.Second

// A waiter is a process that ends when it is told to, and is a zombie until Wait.
type waiter struct {
	*exec.Cmd
	id    ID
	pidfd *os.File
	stop  func()
}

func startWaiter(t testing.TB) *waiter {
	w := &waiter{Cmd: exec.Command("/proc/self/exe")}
	w.Env = append(os.Environ(), waiterEnv+"=1", "GORACE=atexit_sleep_ms=0")
	in, err := w.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, w.Start())
	w.stop = func() { _ = in.Close() }
	t.Cleanup(func() {
		_ = w.Process.Kill()
		_ = w.Wait()
	})
	w.id, err = Of(w.Process.Pid)
	require.NoError(t, err)
	w.pidfd, err = w.id.Open()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, w.pidfd.Close()) })
	return w
}

func TestSelf(t *testing.T) {
	id, err := Self()
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), id.Pid())
	assert.True(t, id.Alive())
	of, err := Of(os.Getpid())
	require.NoError(t, err)
	assert.Equal(t, id, of)
}

func TestAliveUntilTheEnd(t *testing.T) {
	w := startWaiter(t)
	assert.True(t, w.id.Alive())
	w.stop()
	requireEnd(t, w)
	assert.False(t, w.id.Alive(), "a zombie is not alive")
	again, err := w.id.Open()
	require.NoError(t, err, "a zombie still has its pid")
	require.NoError(t, Watch(again))
	require.NoError(t, again.Close())

	require.NoError(t, w.Wait())
	assert.False(t, w.id.Alive())
	_, err = w.id.Open()
	assert.ErrorIs(t, err, os.ErrProcessDone)
	require.NoError(t, Watch(w.pidfd), "the end can be seen at any time after")
}

func TestAnotherProcessWithThePidIsNotAlive(t *testing.T) {
	w := startWaiter(t)
	for _, start := range []uint64{0, uint64(w.id>>pidBits) - 1, uint64(w.id>>pidBits) + 1} {
		other := newID(w.id.Pid(), start)
		assert.False(t, other.Alive(), "%v", other)
		_, err := other.Open()
		assert.ErrorIs(t, err, os.ErrProcessDone)
	}
}

func TestNobody(t *testing.T) {
	assert.False(t, ID(0).Alive())
	assert.False(t, newID(1<<pidBits-1, 1).Alive())
	for _, pid := range []int{-1, 0, 1 << pidBits, 1<<pidBits - 1} {
		_, err := Of(pid)
		assert.ErrorIs(t, err, fs.ErrNotExist, "%d", pid)
	}
}

// requireEnd waits for the end of a process that was told to.
func requireEnd(t testing.TB, w *waiter) {
	t.Helper()
	require.NoError(t, w.pidfd.SetReadDeadline(time.Now().Add(patience)))
	require.NoError(t, Watch(w.pidfd))
}

func TestWatchCostsNoThread(t *testing.T) {
	const n = 50
	waiters := make([]*waiter, n)
	for i := range waiters {
		waiters[i] = startWaiter(t)
	}
	before := threads(t)
	ended := make(chan error, n)
	for _, w := range waiters {
		go func() { ended <- Watch(w.pidfd) }()
	}
	stop := func(waiters []*waiter) {
		for _, w := range waiters {
			w.stop()
		}
		late := time.Now().Add(patience)
		for _, w := range waiters {
			require.NoError(t, w.pidfd.SetReadDeadline(late))
		}
		for range waiters {
			require.NoError(t, <-ended)
		}
	}
	stop(waiters[:n/2])
	assert.Less(t, threads(t)-before, n/5, "the other half is being watched")
	stop(waiters[n/2:])
}

func threads(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	return len(entries)
}

func TestCloseEndsWatch(t *testing.T) {
	w := startWaiter(t)
	again, err := w.id.Open()
	require.NoError(t, err)
	ended := make(chan error)
	go func() { ended <- Watch(again) }()
	require.NoError(t, again.Close())
	assert.ErrorContains(t, <-ended, "watch process: ")
	assert.True(t, w.id.Alive())
}
