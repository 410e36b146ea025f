package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/pool"
)

// watchdog is how long anything may take on a busy machine.
const watchdog = 30 * time.Second

// receive waits for the next value; ok is false when there are no more.
func receive[T any](t *testing.T, c <-chan T, what string) (v T, ok bool) {
	t.Helper()
	select {
	case v, ok = <-c:
		return v, ok
	case <-time.After(watchdog):
		require.FailNow(t, "nothing comes", what)
		panic("unreachable")
	}
}

// Everything that the output claims.
func TestTry(t *testing.T) {
	s := settings{workers: 3, tasks: 1000}
	trials := make(chan trial, 100)
	var sum *summary
	var err error
	go func() {
		defer close(trials)
		sum, err = s.try(t.Context(), func(tr trial) { trials <- tr })
	}()
	var told []trial
	for tr, more := receive(t, trials, "the first trial"); more; tr, more = receive(t, trials, "the trial after "+tr.what) {
		told = append(told, tr)
	}
	require.NoError(t, err)
	require.Equal(t, sum.trials, told)
	require.Len(t, told, 2*(1+endlessC))
	dead := map[int]bool{}
	for i, tr := range told {
		r, by := runaways()[i/2], limits[i%2]
		assert.Equal(t, r.what, tr.what)
		assert.Equal(t, by.how, tr.how)
		assert.ErrorIs(t, tr.err, context.DeadlineExceeded)
		assert.Positive(t, tr.meanwhile, "small tasks went on")
		assert.GreaterOrEqual(t, tr.errAfter, allowed, "it had its time")
		assert.GreaterOrEqual(t, tr.goneAfter, allowed+grace)
		assert.GreaterOrEqual(t, tr.readyAfter, tr.goneAfter)
		assert.False(t, dead[tr.pid], "it has died before")
		dead[tr.pid] = true
		assert.False(t, dead[tr.successor], "it is none of the dead")
		assert.NoDirExists(t, procDir(tr.pid))
	}
	assertCounts(t, s, sum)
}

// assertCounts looks whether everything adds up.
func assertCounts(t *testing.T, s settings, sum *summary) {
	var times int
	for i, name := range []string{"before", "while", "after"} {
		ph := sum.phases[i]
		assert.Equal(t, name, ph.name)
		assert.GreaterOrEqual(t, len(ph.times), s.tasks)
		assert.IsNonDecreasing(t, ph.times)
		assert.Positive(t, ph.took)
		times += len(ph.times)
	}
	assert.EqualValues(t, times, sum.tasks)
	n := uint64(len(sum.trials))
	assert.Equal(t, pool.Stats{Workers: s.workers, Accepted: sum.tasks + n, Succeeded: sum.tasks, Cancelled: n,
		Started: uint64(s.workers) + n, Deaths: n}, sum.stats)
	assert.Positive(t, sum.workers)
	assert.LessOrEqual(t, uint64(sum.workers), sum.stats.Started)
}

// awaitAnswer returns once a small task was answered.
func awaitAnswer(t *testing.T, l *load) {
	t.Helper()
	end := time.After(watchdog)
	again := time.NewTicker(time.Millisecond) // nothing announces an answer
	defer again.Stop()
	for l.answered.Load() == 0 {
		select {
		case <-end:
			require.FailNow(t, "no small task is answered")
		case <-again.C:
		}
	}
}

// Small tasks are answered, also those that were there when it came, while a runaway that has no limit has a worker for itself.
func TestSmallTasksDoNotWait(t *testing.T) {
	for _, r := range runaways() {
		p := start(t, pool.Options{Workers: 2})
		l := newLoad(p, 2)
		over, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := l.run(t.Context(), "while", 1, over)
			ended <- err
		}()
		awaitAnswer(t, l)
		f, err := r.fn.Go(t.Context(), p, struct{}{})
		require.NoError(t, err)
		close(over)
		err, _ = receive(t, ended, r.what)
		require.NoError(t, err)
		go func() {
			_, err := l.run(t.Context(), "after", 1000, over)
			ended <- err
		}()
		err, _ = receive(t, ended, r.what)
		require.NoError(t, err)
		require.NoError(t, l.ledger.check(l.answered.Load()))
		require.Equal(t, 1, p.Stats().Outstanding, "it still runs")
		require.Zero(t, p.Stats().Deaths)
		p.Terminate()
		_, err = f.Wait(t.Context())
		require.ErrorIs(t, err, pool.ErrClosed)
	}
}

// A small task that fails is an error, and ends what runs beside it.
func TestSmallTaskFails(t *testing.T) {
	s := settings{workers: 2, tasks: 1}
	p := start(t, pool.Options{Workers: s.workers})
	l := newLoad(p, s.workers)
	ended := make(chan error, 1)
	go func() {
		_, err := s.tryBeside(t.Context(), l, &summary{}, func(trial) {})
		ended <- err
	}()
	awaitAnswer(t, l)
	p.Terminate()
	err, _ := receive(t, ended, "the end")
	require.ErrorIs(t, err, pool.ErrClosed)
	require.ErrorContains(t, err, "small task ")
}

// What one worker has of a load is lost with it, and is an error.
func TestWorkerIsKilled(t *testing.T) {
	p := start(t, pool.Options{Workers: 2})
	ended := make(chan error)
	go func() {
		_, err := newLoad(p, 2).run(t.Context(), "while", 1, nil) // for ever
		ended <- err
	}()
	again := time.NewTicker(time.Millisecond) // nothing announces that a worker has a task
	defer again.Stop()
	end := time.After(watchdog)
	killed := map[int]bool{}
	for {
		select {
		case err := <-ended:
			require.ErrorIs(t, err, pool.ErrWorkerDied)
			require.ErrorContains(t, err, "small task ")
			return
		case <-end:
			require.FailNow(t, "the small tasks go on")
		case <-again.C:
		}
		for _, w := range p.Workers() {
			if w.Ready && !killed[w.Pid] {
				killed[w.Pid] = true
				kill(t, w.Pid)
			}
		}
	}
}

// kill ends a worker, if it has not ended.
func kill(t *testing.T, pid int) {
	t.Helper()
	worker, err := os.FindProcess(pid)
	require.NoError(t, err)
	defer worker.Release()
	if err := worker.Kill(); !errors.Is(err, os.ErrProcessDone) {
		require.NoError(t, err)
	}
}

// A context that ends while something runs away ends everything.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := settings{workers: 2, tasks: 1}.try(ctx, func(trial) { cancel() })
		ended <- err
	}()
	err, _ := receive(t, ended, "the end")
	require.ErrorIs(t, err, context.Canceled)
}

// Each task has an answer of its own.
func TestSum(t *testing.T) {
	p := start(t, pool.Options{Workers: 1})
	for _, from := range []uint64{0, 1, 12345, 1 << 60} {
		a, err := add.Call(t.Context(), p, from)
		require.NoError(t, err)
		assert.Equal(t, sum(from), a.Sum)
		assert.NotEqual(t, sum(from+1), a.Sum)
	}
}
