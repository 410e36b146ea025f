//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// badStarts are the ways in which an initialiser fails, and what the error says.
var badStarts = map[string]string{
	"error":  "start worker 0: init: not today",
	"panic":  "start worker 0: init: initialiser panicked: not today",
	"goexit": "start worker 0: init: initialiser called runtime.Goexit",
	"exit":   "exited with status 9",
	"kill":   "was ended by a signal (killed)",
}

// requireBadStart checks why a pool has given up.
func requireBadStart(t *testing.T, how string, err error) {
	t.Helper()
	require.ErrorContains(t, err, badStarts[how])
	require.Equal(t, how == "error", errors.Is(err, errAttendant))
	require.Equal(t, how == "exit" || how == "kill", errors.Is(err, ErrWorkerDied))
}

// An initialiser that fails at the first start fails New, at once. Seen in CPython's test_concurrent_futures, loky's suite
// and pebble's.
func TestBrokenInitialiser(t *testing.T) {
	for how := range badStarts {
		t.Run(how, func(t *testing.T) {
			a := newAttendant(t)
			a.says(t, how)
			_, err := New(Options{Workers: 1, Init: a.init()})
			requireBadStart(t, how, err)
			require.Equal(t, 1, a.seen(t), "it is not tried again")
		})
	}
}

// One that fails in replacements only is tried again, ever more slowly; in the end all tasks fail, with its own error. Seen in
// CPython's test_concurrent_futures, as workers that are started for ever.
func TestInitialiserBreaks(t *testing.T) {
	for _, how := range []string{"error", "exit"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel() // it mostly waits
			a := newAttendant(t)
			p := start(t, Options{Workers: 1, Init: a.init()})
			a.says(t, how)
			_, err := die.Call(t.Context(), p, "kill")
			require.ErrorIs(t, err, ErrWorkerDied)
			began := time.Now()
			var fs []*Future[int]
			for i := range 5 {
				f, err := square.Go(t.Context(), p, i)
				require.NoError(t, err)
				fs = append(fs, f)
			}
			for _, f := range fs {
				_, err := f.Wait(t.Context())
				require.ErrorContains(t, err, "no worker starts")
				requireBadStart(t, how, err)
			}
			require.GreaterOrEqual(t, time.Since(began), (1<<(maxStartFailures-1)-1)*firstDelay, "10 ms, 20 ms, 40 ms and so on")
			require.Equal(t, 1+maxStartFailures, a.seen(t))
			_, err = square.Call(t.Context(), p, 1)
			requireBadStart(t, how, err)
		})
	}
}

// When it works again the pool does too, and what waited is run. Seen in loky's suite.
func TestInitialiserRecovers(t *testing.T) {
	for how := range badStarts {
		t.Run(how, func(t *testing.T) {
			t.Parallel() // it mostly waits
			const failures = 2
			a := newAttendant(t)
			p := start(t, Options{Workers: 1, Init: a.init()})
			a.says(t, how)
			_, err := die.Call(t.Context(), p, "kill")
			require.ErrorIs(t, err, ErrWorkerDied)
			f, err := square.Go(t.Context(), p, 9)
			require.NoError(t, err)
			eventually(t, "some have failed", func() bool { return a.seen(t) > failures })
			a.says(t, "")
			y, err := f.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, 81, y)
			_, err = die.Call(t.Context(), p, "kill")
			require.ErrorIs(t, err, ErrWorkerDied)
			same(t, p, echoInt, 1)
			p.mu.Lock()
			defer p.mu.Unlock()
			require.Zero(t, p.members[0].failures, "the next failure is the first again")
		})
	}
}

// One worker that cannot be replaced leaves the work to the others. Seen in pebble's suite.
func TestInitialiserBreaksBesideOthers(t *testing.T) {
	a := newAttendant(t)
	p := start(t, Options{Workers: 2, Init: a.init()})
	a.says(t, "error")
	_, err := die.Call(t.Context(), p, "kill")
	require.ErrorIs(t, err, ErrWorkerDied)
	eventually(t, "its replacement has failed", func() bool { return a.seen(t) > 4 })
	same(t, p, echoInt, 1, 2, 3)
	require.Equal(t, 1, p.Stats().Workers)
	a.says(t, "")
	eventually(t, "it is replaced", func() bool { return p.Stats().Workers == 2 })
}

// The wait before the next start grows up to its bound and stays there, however long starts go on failing.
func TestStartDelay(t *testing.T) {
	last := time.Duration(0)
	for failures := 1; failures < 1000; failures++ {
		d := startDelay(failures)
		require.GreaterOrEqual(t, d, last, "%d failures", failures)
		last = d
	}
	require.Equal(t, firstDelay, startDelay(1))
	require.Equal(t, 4*firstDelay, startDelay(3))
	require.Equal(t, maxDelay, last)
}

// A worker that has run its number of tasks, and whose replacement cannot start, leaves an error to those that wait. Seen in
// CPython's test_concurrent_futures.
func TestReplacementOfRetiredFails(t *testing.T) {
	t.Parallel() // it mostly waits
	a := newAttendant(t)
	p := start(t, Options{Workers: 1, MaxTasksPerWorker: 2, Init: a.init()})
	a.says(t, "error")
	for i := range 6 {
		y, err := square.Call(t.Context(), p, i)
		if i < 2 {
			require.NoError(t, err)
			require.Equal(t, i*i, y)
			continue
		}
		require.ErrorContains(t, err, "no worker starts")
		requireBadStart(t, "error", err)
	}
}

// A forced stop starts no worker in the place of those that it ends, nor of those that retire or die meanwhile. Seen in
// CPython's test_concurrent_futures.
func TestTerminateDoesNotRespawn(t *testing.T) {
	for range 5 {
		p, err := New(Options{Workers: 2, MaxTasksPerWorker: 2})
		require.NoError(t, err)
		g := newGate(t)
		for range 20 {
			_, err := pass.Go(t.Context(), p, g.path)
			require.NoError(t, err)
		}
		eventually(t, "all workers are occupied", func() bool { return slotsThatAre(p, running) == 2 })
		p.Terminate()
		require.EqualValues(t, 2, p.Stats().Started)
		requireEnded(t, p)
	}
}

// A pool ends, in any way, while its workers are replaced: just dead, or in their initialiser. Seen in loky's suite.
func TestEndDuringRespawn(t *testing.T) {
	for name, end := range endings {
		t.Run(name+"/dead", func(t *testing.T) {
			p, err := New(Options{Workers: 3})
			require.NoError(t, err)
			killWorkers(t, p)
			require.NoError(t, end(p))
			requireEnded(t, p)
		})
		t.Run(name+"/starting", func(t *testing.T) {
			const workers = 2
			a, g := newAttendant(t), newGate(t)
			p, err := New(Options{Workers: workers, Init: a.init()})
			require.NoError(t, err)
			defer p.Terminate()
			a.says(t, g.path)
			killWorkers(t, p)
			eventually(t, "all replacements start", func() bool { return a.seen(t) == 2*workers })
			f, err := square.Go(t.Context(), p, 3)
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() { ended <- end(p) }()
			eventually(t, "it ends", func() bool { return isClosing(p) })
			orderly := name == "close" || name == "close in time"
			if orderly {
				g.open()
			}
			require.NoError(t, receive(t, ended))
			_, err = f.Wait(t.Context())
			assert.Equal(t, orderly, err == nil, "%v", err)
			require.EqualValues(t, 2*workers, p.Stats().Started)
			requireEnded(t, p)
		})
	}
}

// deaf ignores what the parent says in any way, and never ends.
var deaf = Func("deaf", func(_ context.Context, began string) (int, error) {
	signal.Ignore(syscall.SIGTERM)
	if err := os.WriteFile(began, nil, 0o600); err != nil {
		return 0, err
	}
	for {
		spun++
	}
})

// A worker that ignores SIGTERM is killed: when its task's time is up, and when its pool ends. Seen in pebble's suite.
func TestWorkerIgnoresTermination(t *testing.T) {
	for name, end := range map[string]func(p *Pool, cancel func()){
		"timeout":   func(*Pool, func()) {},
		"cancel":    func(_ *Pool, cancel func()) { cancel() },
		"terminate": func(p *Pool, _ func()) { p.Terminate() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			p := start(t, Options{Workers: 1, Grace: soon})
			before := pids(p)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			began := t.TempDir() + "/began"
			f, err := deaf.With(Timeout(map[bool]time.Duration{true: soon}[name == "timeout"])).Go(ctx, p, began)
			require.NoError(t, err)
			eventually(t, "it has begun", func() bool { _, err := os.Stat(began); return err == nil || f.finished() })
			end(p, cancel)
			_, err = f.Wait(t.Context())
			require.ErrorIs(t, err, map[string]error{"timeout": context.DeadlineExceeded, "cancel": context.Canceled, "terminate": ErrClosed}[name])
			if name == "terminate" {
				requireEnded(t, p)
				return
			}
			same(t, p, echoInt, 1) // by its replacement
			require.NotEqual(t, before, pids(p))
			require.EqualValues(t, 1, p.Stats().Deaths)
		})
	}
}

// Pools that are ended as soon as they are there, many at a time. Seen in CPython's test_multiprocessing, with processes.
func TestPoolsEndedAtOnce(t *testing.T) {
	for name, end := range endings {
		ended := make(chan error)
		const pools = 5
		for i := range pools {
			go func() {
				p, err := New(Options{Workers: 2, Name: fmt.Sprint("short ", i)})
				if err == nil {
					err = end(p)
				}
				ended <- err
			}()
		}
		for range pools {
			require.NoError(t, receive(t, ended), name)
		}
	}
}
