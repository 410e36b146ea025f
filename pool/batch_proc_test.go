//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A jam is a batch that worker 0 of two has taken, with a task in front that does not end before
// clear is called.
type jam struct {
	t     *testing.T
	p     *Pool
	gate  string
	front *Future[int]
	rest  []*Future[int]
}

func newJam(t *testing.T) *jam {
	j := &jam{t: t, p: start(t, Options{Workers: 2}), gate: filepath.Join(t.TempDir(), "gate")}
	require.NoError(t, syscall.Mkfifo(j.gate, 0o600))
	t.Cleanup(func() {
		if t.Failed() {
			j.p.Terminate() // or closing it would wait for the task in front
		}
	})
	return j
}

// warm runs short tasks, so that workers find that large batches pay.
func (j *jam) warm() {
	j.submit(2000)
	j.drain()
}

func (j *jam) submit(n int) {
	for i := range n {
		f, err := square.Go(j.t.Context(), j.p, i)
		require.NoError(j.t, err)
		j.rest = append(j.rest, f)
	}
}

func (j *jam) obstruct() {
	f, err := pass.Go(j.t.Context(), j.p, j.gate)
	require.NoError(j.t, err)
	j.front = f
}

// drain waits for all short tasks.
func (j *jam) drain() {
	ctx, cancel := context.WithTimeout(j.t.Context(), watchdog)
	defer cancel()
	for i, f := range j.rest {
		y, err := f.Wait(ctx)
		require.NoError(j.t, err)
		require.Equal(j.t, i*i, y)
	}
	j.rest = nil
}

// clear lets the task in front end.
func (j *jam) clear() error {
	f, err := os.OpenFile(j.gate, os.O_RDWR, 0)
	require.NoError(j.t, err)
	defer f.Close()
	ctx, cancel := context.WithTimeout(j.t.Context(), watchdog)
	defer cancel()
	_, err = j.front.Wait(ctx)
	return err
}

// form jams worker 0, while worker 1 sleeps. Whether a worker finds that large batches pay depends on
// what else the machine does, so it may take several attempts. Under the race detector tasks
// are so slow that they never do: there, all but one task wait in the ring.
func (j *jam) form() {
	for start, round := time.Now(), 1; ; round++ {
		require.Less(j.t, time.Since(start), watchdog, "no worker takes more than one task at once")
		j.warm()
		j.block()
		if n := len(j.p.mem.shown(0)); n > 1 || detectsRaces {
			j.t.Logf("%d tasks wait in a batch, in round %d", n, round)
			return
		}
		j.p.crowd.wake(1)
		j.drain()
		require.NoError(j.t, j.clear())
	}
}

// block wakes worker 0 alone, once tasks for a whole batch wait for it, and lets it begin the first.
func (j *jam) block() {
	p := j.p
	sleepers := p.crowd.idle.sleepers[:]
	eventually(j.t, "both workers sleep", func() bool { return p.crowd.count(sleepers) == 2 })
	p.mu.Lock()
	p.crowd.areas = nil // nobody is woken
	p.mu.Unlock()
	j.obstruct()
	j.submit(maxBatch - 1)
	p.mu.Lock()
	p.crowd = p.mem.crowd()
	p.mu.Unlock()
	unset(sleepers, 1) // worker 0 is not to call it
	unset(sleepers, 0)
	p.crowd.wake(0)
	eventually(j.t, "the task in front runs", func() bool {
		return word(p.mem.slots[j.front.id().slot()].word.Load()).state() == running
	})
}

// What a worker has taken behind a task that turns out to be long is run by the other, also
// while that worker is stopped, and when it is killed.
func TestNobodyWaitsBehindALongTask(t *testing.T) {
	for _, how := range []string{"runs", "is stopped", "is killed"} {
		t.Run("its worker "+how, func(t *testing.T) {
			j := newJam(t)
			j.form()
			pid := j.p.Workers()[0].Pid
			switch how {
			case "is stopped":
				require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
				defer syscall.Kill(pid, syscall.SIGCONT)
				eventually(t, "it is stopped", func() bool { return isStopped(t, pid) })
			case "is killed":
				require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
				j.drain()
				require.ErrorIs(t, j.clear(), ErrWorkerDied)
				return
			}
			j.p.mu.Lock() // nobody in the parent can help now
			j.p.crowd.wake(1)
			ended := assert.Eventually(t, func() bool { return slotsThatAre(j.p, done) == len(j.rest) }, watchdog, 2*time.Millisecond)
			j.p.mu.Unlock()
			require.True(t, ended, "worker 1 runs what worker 0 has taken")
			j.drain()
			require.False(t, j.front.finished(), "the task in front still runs")
			require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
			require.NoError(t, j.clear())
		})
	}
}

// The same, with workers that do as they like: whoever takes the long task, with
// however many behind it.
func TestLongTaskAmongShortOnes(t *testing.T) {
	j := newJam(t)
	for range 20 {
		j.warm()
		j.obstruct()
		j.submit(3 * maxBatch)
		j.drain()
		require.NoError(t, j.clear())
	}
	s := j.p.Stats()
	require.Equal(t, s.Accepted, s.Succeeded)
}
