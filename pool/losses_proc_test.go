//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A feud is a task that kills all workers, its own last, once its gate opens.
type feud struct {
	Gate string
	Pids []int
}

var fight = Func("fight", func(ctx context.Context, f feud) (int, error) {
	if _, err := pass.fn(ctx, f.Gate); err != nil {
		return 0, err
	}
	for _, pid := range f.Pids {
		if pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // others may have been faster
		}
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
})

// All workers kill each other, at the same time, again and again: each task says so, and what waited is run by replacements. Seen in
// loky's suite.
func TestWorkersKillEachOther(t *testing.T) {
	for _, workers := range []int{1, 2, 5, 13} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			p := start(t, Options{Workers: workers, Memory: 16 << 20})
			for range 2 {
				g := newGate(t)
				eventually(t, "all workers are there", func() bool { return p.Stats().Workers == workers })
				before, all := p.Stats(), pids(p)
				var fights, waiting []*Future[int]
				for range workers {
					f, err := fight.Go(t.Context(), p, feud{g.path, all})
					require.NoError(t, err)
					fights = append(fights, f)
				}
				eventually(t, "all workers are occupied", func() bool { return slotsThatAre(p, running) == workers })
				for i := range 3 * workers {
					f, err := square.Go(t.Context(), p, i)
					require.NoError(t, err)
					waiting = append(waiting, f)
				}
				g.open()
				var dead []int
				for _, f := range fights {
					_, err := f.Wait(t.Context())
					var died *WorkerDiedError
					require.ErrorAs(t, err, &died)
					require.Equal(t, "killed", died.Signal)
					dead = append(dead, died.Pid)
				}
				require.ElementsMatch(t, all, dead)
				for i, f := range waiting {
					y, err := f.Wait(t.Context())
					require.NoError(t, err)
					require.Equal(t, i*i, y)
				}
				require.EqualValues(t, workers, p.Stats().Sub(before).Deaths)
			}
			requireNoBlocks(t, p)
		})
	}
}

// A hundred tasks that fail in every way among a hundred that do not, through a queue that is always full. Seen in loky's
// suite and in CPython's test_concurrent_futures.
func TestFailuresOnFullQueue(t *testing.T) {
	const each = 100
	p := start(t, Options{Workers: 2, Queue: 4})
	ways := []string{"error", "panic", "exit 0", "kill"}
	var bad []*Future[inbound]
	var good []*Future[int]
	for i := range each {
		f, err := hazards.Go(t.Context(), p, outbound{At: "run", How: ways[i%len(ways)]})
		require.NoError(t, err)
		bad = append(bad, f)
		g, err := square.Go(t.Context(), p, i)
		require.NoError(t, err)
		good = append(good, g)
	}
	for i := range each {
		_, err := bad[i].Wait(t.Context())
		requireSprung(t, "run", ways[i%len(ways)], err)
		y, err := good[i].Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, i*i, y)
	}
	s := p.Stats()
	require.EqualValues(t, each/2, s.Deaths)
	require.EqualValues(t, each, s.Succeeded)
	require.EqualValues(t, each, s.Failed)
	require.Zero(t, s.Outstanding)
}

// Failed tasks share no error, also if they fail for one reason: who changes one changes no other. Seen in CPython's
// test_concurrent_futures, as tracebacks that grow.
func TestFailedFuturesShareNoError(t *testing.T) {
	p := start(t, Options{Workers: 3})
	var fs []*Future[int]
	for range 3 {
		f, err := block.Go(t.Context(), p, 1)
		require.NoError(t, err)
		fs = append(fs, f)
	}
	eventually(t, "all run", func() bool { return slotsThatAre(p, running) == 3 })
	killWorkers(t, p)
	deaths := map[*WorkerDiedError]bool{}
	for _, f := range fs {
		_, err := f.Wait(t.Context())
		var died *WorkerDiedError
		require.ErrorAs(t, err, &died)
		require.Equal(t, "block", died.Func)
		died.Func = "changed"
		deaths[died] = true
	}
	require.Len(t, deaths, len(fs))
	failures := map[*TaskError]bool{}
	i := 0
	for _, err := range evens.Map(t.Context(), p, numbers(3000)) { // by the chunk
		if i++; i%2 == 0 {
			var task *TaskError
			require.ErrorAs(t, err, &task)
			require.Equal(t, "odd", task.Message)
			task.Message = "changed"
			failures[task] = true
		}
	}
	require.Len(t, failures, 1500)
}

// A worker dies while the parent copies 100 MB for it into place: another gets them. Seen in CPython's test_concurrent_futures, as
// a feeder that never ends, and in loky's suite.
func TestDeathWhile100MBAreWritten(t *testing.T) {
	p := start(t, Options{Workers: 1})
	type outcome struct {
		n   int
		err error
	}
	b := make([]byte, hundredMB)
	for range 3 {
		before := p.Stats()
		ended := make(chan outcome, 1)
		go func() {
			n, err := count.Call(context.Background(), p, b)
			ended <- outcome{n, err}
		}()
		eventually(t, "there is room for it", func() bool { return p.Memory().Count > 0 || len(ended) > 0 })
		killWorkers(t, p)
		eventually(t, "the death is noticed", func() bool { return p.Stats().Sub(before).Deaths == 1 })
		waits := p.Stats().Sub(before).Accepted == 0
		o := receive(t, ended)
		if waits || o.err == nil {
			require.NoError(t, o.err)
			require.Equal(t, hundredMB, o.n)
		} else {
			require.ErrorIs(t, o.err, ErrWorkerDied)
		}
		same(t, p, echoInt, 1)
	}
	requireNoBlocks(t, p)
}

// Signals that mean nothing come all the time, to the parent and to its workers: no wait ends too early, or never. Seen in
// CPython's test_multiprocessing.
func TestSignalsDisturbNoWait(t *testing.T) {
	const calls = 300
	p := start(t, Options{Workers: 2, Queue: 4})
	stop, stopped := make(chan struct{}), make(chan struct{})
	targets := append(pids(p), os.Getpid())
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = syscall.Kill(targets[i%len(targets)], syscall.SIGWINCH)
			}
		}
	}()
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() { // more than the queue has room for, some of them asleep
			for i := range calls {
				y, err := square.Call(context.Background(), p, i)
				if !assert.NoError(t, err) || !assert.Equal(t, i*i, y) {
					return
				}
				if _, err = lasts.Call(context.Background(), p, i%7*100); !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	within(t, "calls under signals", callers.Wait)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	_, err := block.Call(ctx, p, 1)
	require.True(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
	close(stop)
	receive(t, stopped)
	require.Zero(t, p.Stats().Deaths)
}
