//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/telemetry"
)

// operate is for a pool of this process's, through another mapping of its memory.
func operate(t testing.TB, p *Pool) *Operator {
	t.Helper()
	p.mu.Lock()
	path := fmt.Sprintf("/proc/self/fd/%d", p.home.seg.File().Fd())
	p.mu.Unlock()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	o, err := Operate(f)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

// taskOf is the number of a future's task, as others see it.
func taskOf[Out any](f *Future[Out]) uint64 { return uint64(f.id()) }

// someWorker returns the worker in place i, as others see it.
func someWorker(t testing.TB, p *Pool, i int) Subject {
	t.Helper()
	w := snapshot(t, observe(t, p)).Workers[i]
	return Subject{w.Incarnation, w.Pid}
}

func endsOf(t testing.TB, p *Pool, why telemetry.End) (n uint64) {
	t.Helper()
	for _, w := range snapshot(t, observe(t, p)).Workers {
		n += w.Ends[why.String()]
	}
	return n
}

// hibernates reports whether the pool's reaper sleeps without a bound.
func hibernates(p *Pool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dormant
}

// A task that runs ends with its worker, one that waits without having run, and both say why. Another worker takes the place.
func TestKillTask(t *testing.T) {
	p := start(t, Options{Workers: 1, Retries: 3, Grace: watchdog})
	o := operate(t, p)
	runs, err := block.Go(t.Context(), p, 1)
	require.NoError(t, err)
	eventually(t, "it runs", func() bool { return slotsThatAre(p, running) == 1 })
	waits, err := square.Go(t.Context(), p, 2)
	require.NoError(t, err)
	last, err := square.Go(t.Context(), p, 3)
	require.NoError(t, err)

	require.NoError(t, o.KillTask(t.Context(), taskOf(waits)))
	_, err = waits.Wait(t.Context())
	require.ErrorIs(t, err, ErrKilled)
	require.NotErrorIs(t, err, ErrWorkerDied)
	require.ErrorIs(t, o.KillTask(t.Context(), taskOf(waits)), ErrGone)

	require.NoError(t, o.KillTask(t.Context(), taskOf(runs)))
	_, err = runs.Wait(t.Context())
	died := (*WorkerDiedError)(nil)
	require.ErrorAs(t, err, &died)
	require.ErrorIs(t, err, ErrKilled)
	require.Equal(t, block.Name(), died.Func)
	require.ErrorContains(t, err, "killed on request")
	y, err := last.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 9, y)
	require.ErrorIs(t, o.KillTask(t.Context(), taskOf(runs)), ErrGone)
	require.ErrorIs(t, o.KillTask(t.Context(), 1<<60-1), ErrGone)

	require.EqualValues(t, 1, endsOf(t, p, telemetry.Requested))
	s := p.Stats()
	require.EqualValues(t, 1, s.Deaths)
	require.EqualValues(t, 2, s.Failed)
	require.Zero(t, snapshot(t, observe(t, p)).Counters.Retried)
	requireBalanced(t, p)
}

// A worker that is killed between two tasks, in one, or in one that nobody waits for any more.
func TestKillWorker(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: watchdog})
	o := operate(t, p)
	idle := someWorker(t, p, 0)
	require.NoError(t, o.KillWorker(t.Context(), idle.Incarnation))
	eventually(t, "another has its place", func() bool { return p.Stats().Workers == 1 && someWorker(t, p, 0) != idle })
	same(t, p, echoInt, 1)
	require.ErrorIs(t, o.KillWorker(t.Context(), idle.Incarnation), ErrGone)
	same(t, p, echoInt, 2)
	require.EqualValues(t, 1, p.Stats().Deaths, "a successor was hit")

	f, err := block.Go(t.Context(), p, 1)
	require.NoError(t, err)
	eventually(t, "it runs", func() bool { return slotsThatAre(p, running) == 1 })
	require.NoError(t, o.KillWorker(t.Context(), someWorker(t, p, 0).Incarnation))
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, ErrKilled)
	require.ErrorIs(t, err, ErrWorkerDied)

	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	f, err = spinning.Go(ctx, p, filepath.Join(dir, "began"))
	require.NoError(t, err)
	eventually(t, "it runs", func() bool { return slotsThatAre(p, running) == 1 })
	id := taskOf(f)
	cancel()
	_, err = f.Wait(context.WithoutCancel(ctx))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, o.KillTask(t.Context(), id))
	same(t, p, echoInt, 3)
	require.EqualValues(t, 3, endsOf(t, p, telemetry.Requested))
	requireBalanced(t, p)
}

// What a killed worker ran is retried, if it may be.
func TestKilledWorkersTaskIsRetried(t *testing.T) {
	p := start(t, Options{Workers: 1})
	o := operate(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f, err := block.With(Retries(1)).Go(ctx, p, 1)
	require.NoError(t, err)
	eventually(t, "it runs", func() bool { return slotsThatAre(p, running) == 1 })
	first := someWorker(t, p, 0)
	require.NoError(t, o.KillWorker(t.Context(), first.Incarnation))
	eventually(t, "it runs again", func() bool { return slotsThatAre(p, running) == 1 && someWorker(t, p, 0) != first })
	require.NoError(t, o.KillWorker(t.Context(), someWorker(t, p, 0).Incarnation))
	_, err = f.Wait(t.Context())
	died := (*WorkerDiedError)(nil)
	require.ErrorAs(t, err, &died)
	require.Len(t, died.Earlier, 1)
	require.ErrorIs(t, died.Earlier[0], ErrKilled)
	require.ErrorIs(t, died, ErrKilled)
	require.EqualValues(t, 1, snapshot(t, observe(t, p)).Counters.Retried)
}

// Of a chunk that runs, or waits, one item ends, and the others have their results.
func TestKillChunk(t *testing.T) {
	for _, which := range []state{running, queued} {
		t.Run(which.String(), func(t *testing.T) {
			p := start(t, Options{Workers: 1, Queue: 8})
			o := operate(t, p)
			n, dir := 5000, t.TempDir()
			goOn := func() { require.NoError(t, os.WriteFile(filepath.Join(dir, "go on"), nil, 0o600)) }
			t.Cleanup(goOn)
			type result struct {
				y   int
				err error
			}
			results := make(chan result, n)
			go func() {
				defer close(results)
				for y, err := range blocksAt.Map(context.Background(), p, slices.Values(stations(n, dir))) {
					results <- result{y, err}
				}
			}()
			id := uint64(0)
			eventually(t, "there is a chunk that "+which.String(), func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				for i := range p.entries {
					e := &p.entries[i]
					if e.live && e.task != nil && e.task.part() != nil && e.task.part().n > 1 && word(p.mem.slots[i].word.Load()).state() == which {
						if _, err := os.Stat(filepath.Join(dir, "blocks")); err == nil {
							id = uint64(e.task.id())
							return true
						}
					}
				}
				return false
			})
			require.NoError(t, o.KillTask(t.Context(), id))
			goOn()
			failed, i := 0, 0
			for r := range results {
				if r.err != nil {
					assert.ErrorIs(t, r.err, ErrKilled)
					failed++
				} else {
					assert.Equal(t, i+1, r.y)
				}
				i++
			}
			require.Equal(t, n, i)
			require.Equal(t, 1, failed)
			eventually(t, "all have ended", func() bool { return p.Stats().Outstanding == 0 })
			requireBalanced(t, p)
		})
	}
}

// A station is an item of TestKillChunk: one of them does not end before it may.
type station struct {
	X     int
	Block bool
	Dir   [200]byte
}

func stations(n int, dir string) (all []station) {
	for x := range n {
		s := station{X: x, Block: x == n/5}
		copy(s.Dir[:], dir)
		all = append(all, s)
	}
	return all
}

var blocksAt = Func("blocks at", func(ctx context.Context, s station) (int, error) {
	if s.Block {
		dir := string(s.Dir[:bytes.IndexByte(s.Dir[:], 0)])
		if err := os.WriteFile(filepath.Join(dir, "blocks"), nil, 0o600); err != nil {
			return 0, err
		}
		for _, err := os.Stat(filepath.Join(dir, "go on")); err != nil; _, err = os.Stat(filepath.Join(dir, "go on")) {
			<-time.After(time.Millisecond)
		}
	}
	return s.X + 1, nil
})

// A block that was given to a task that waits is its giver's again.
func TestKillTaskGivesBack(t *testing.T) {
	p := start(t, Options{Workers: 1})
	o := operate(t, p)
	release := hold(t, p)
	b, err := NewBlock[byte](t.Context(), p, 10_000)
	require.NoError(t, err)
	f, err := swallow.Go(t.Context(), p, b)
	require.NoError(t, err)
	require.NoError(t, o.KillTask(t.Context(), taskOf(f)))
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, ErrKilled)
	release()
	require.Len(t, b.Slice(), 10_000)
	b.Release()
}

// Whatever the pool's parent does, it serves: asleep without a bound, between two looks, while it waits for results, while it spins, or is closing.
func TestRequestsAreServed(t *testing.T) {
	kill := func(t *testing.T, p *Pool, o *Operator, i int) {
		t.Helper()
		before := someWorker(t, p, i)
		require.NoError(t, o.KillWorker(t.Context(), before.Incarnation))
		eventually(t, "another has its place", func() bool { return p.Stats().Workers == p.opts.Workers && someWorker(t, p, i) != before })
	}
	t.Run("dormant", func(t *testing.T) {
		p := start(t, Options{Workers: 2})
		o := operate(t, p)
		for i := range 4 {
			eventually(t, "it sleeps", func() bool { return hibernates(p) })
			kill(t, p, o, i%2)
		}
		eventually(t, "it sleeps", func() bool { return hibernates(p) })
		require.ErrorIs(t, o.KillWorker(t.Context(), 999), ErrGone)
		eventually(t, "it sleeps again", func() bool { return hibernates(p) })
		same(t, p, echoInt, 1)
	})
	t.Run("resting", func(t *testing.T) {
		p := start(t, Options{Workers: 2, Grace: watchdog})
		o := operate(t, p)
		for range 3 {
			f, err := block.Go(t.Context(), p, 1) // nobody waits for it
			require.NoError(t, err)
			eventually(t, "it runs", func() bool { return slotsThatAre(p, running) == 1 })
			require.NoError(t, o.KillTask(t.Context(), taskOf(f)))
			_, err = f.Wait(t.Context())
			require.ErrorIs(t, err, ErrKilled)
		}
	})
	t.Run("busy", func(t *testing.T) {
		p := start(t, Options{Workers: 2, Queue: 64, Retries: 1000})
		o := operate(t, p)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for k := range 4 {
			wg.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					if k%2 == 0 {
						y, err := square.Call(context.Background(), p, n)
						if assert.NoError(t, err) {
							assert.Equal(t, n*n, y)
						}
						continue
					}
					for range square.Map(context.Background(), p, numbers(1000)) { // items that were hit have errors
					}
				}
			})
		}
		for i := range 10 {
			kill(t, p, o, i%2)
		}
		stop()
		wg.Wait()
		requireBalanced(t, p)
	})
	t.Run("closing", func(t *testing.T) {
		p, err := New(Options{Workers: 1, Grace: watchdog})
		require.NoError(t, err)
		o := operate(t, p)
		f, err := spinning.Go(t.Context(), p, filepath.Join(t.TempDir(), "began"))
		require.NoError(t, err)
		closed := make(chan error, 1)
		go func() { closed <- p.Close() }()
		eventually(t, "it closes", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.phase == closing })
		require.NoError(t, o.KillTask(t.Context(), taskOf(f)))
		require.NoError(t, receive(t, closed))
		require.ErrorIs(t, o.KillTask(t.Context(), taskOf(f)), ErrPoolGone)
	})
	t.Run("moved", func(t *testing.T) {
		p := start(t, Options{Workers: 1})
		o := operate(t, p)
		require.NoError(t, p.Rebuild(t.Context()))
		require.ErrorIs(t, o.KillWorker(t.Context(), 1), ErrPoolGone)
		eventually(t, "it sleeps", func() bool { return p.Stats().Workers == 1 && hibernates(p) })
		kill(t, p, operate(t, p), 0)
	})
}

// Who asks and is killed leaves a request, with or without having rung, or an answer. The next who asks has its answer all the same.
func TestRequestsOfTheDead(t *testing.T) {
	p := start(t, Options{Workers: 2})
	o := operate(t, p)
	word := &o.mem.told.Board.Requests
	eventually(t, "it sleeps", func() bool { return hibernates(p) })
	left := telemetry.AboutWorker(telemetry.KillWorker, someWorker(t, p, 0).Incarnation, 0, 1)
	require.True(t, word.Ask(0, left))
	require.ErrorIs(t, o.KillWorker(t.Context(), 999), ErrGone)
	eventually(t, "it was served", func() bool { return p.Stats().Deaths == 1 })
	require.True(t, word.Ask(0, left.Answer(telemetry.Done)))
	require.ErrorIs(t, o.KillWorker(t.Context(), 999), ErrGone)
	require.Zero(t, word.Look())

	p.mu.Lock() // the parent does not look
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, o.KillWorker(ctx, 999), context.DeadlineExceeded)
	require.Zero(t, word.Look(), "it was not taken back")
	stolen := make(chan error, 1)
	go func() { stolen <- o.KillWorker(context.Background(), 999) }()
	eventually(t, "it was asked", func() bool { return word.Look() != 0 })
	require.True(t, word.Ask(word.Look(), left))
	require.ErrorIs(t, receive(t, stolen), ErrDisplaced)
	word.Fetch(left)
}

// Many who ask at the same time have an answer each.
func TestManyOperators(t *testing.T) {
	p := start(t, Options{Workers: 4, Grace: watchdog})
	release := hold(t, p)
	var wg sync.WaitGroup
	waiting := make([]*Future[int], 24)
	for k := range waiting {
		f, err := square.Go(t.Context(), p, k)
		require.NoError(t, err)
		waiting[k] = f
	}
	for k := range 4 {
		o := operate(t, p)
		wg.Go(func() {
			for _, f := range waiting[6*k : 6*k+6] {
				ask := func() error {
					for {
						if err := o.KillTask(t.Context(), taskOf(f)); !errors.Is(err, ErrDisplaced) && !errors.Is(err, ErrNoAnswer) {
							return err
						}
					}
				}
				assert.NoError(t, ask())
			}
		})
	}
	wg.Wait()
	for _, f := range waiting {
		_, err := f.Wait(t.Context())
		require.ErrorIs(t, err, ErrKilled)
	}
	release()
}

// Any value in the word is harmless to the parent: at worst tasks and workers are killed.
func TestHostileRequests(t *testing.T) {
	p := start(t, Options{Workers: 2, Queue: 16, Grace: watchdog})
	o := operate(t, p)
	word := &o.mem.told.Board.Requests
	rng := rand.New(rand.NewPCG(1, 2))
	release := hold(t, p)
	f, err := square.Go(t.Context(), p, 3)
	require.NoError(t, err)
	p.mu.Lock()
	p.watch() // so that the parent sleeps on its bell: between two looks it would take a quarter of a second for each
	p.mu.Unlock()
	served := 0
	for n := range 1000 {
		r := telemetry.Request(rng.Uint64() >> rng.IntN(64))
		switch n % 4 {
		case 0: // a task that may be there
			r = telemetry.AboutTask(telemetry.KillTask, uint64(makeTaskID(uint32(rng.IntN(20)), uint64(rng.IntN(4))))&^published)
		case 1: // a worker
			r = telemetry.AboutWorker(telemetry.Act(rng.IntN(8)), uint32(rng.IntN(8)), 1, uint16(n))
		}
		if n%64 == 0 {
			same := p.Stats()
			require.LessOrEqual(t, same.Succeeded+same.Failed+same.Cancelled, same.Accepted)
		}
		was := word.Look()
		if word.Ask(was, r) && r != 0 && !r.IsAnswer() {
			o.mem.bell().rouse()
			eventually(t, "it is served", func() bool { return word.Look() != r })
			served++
		}
	}
	p.mu.Lock()
	p.watched--
	p.mu.Unlock()
	require.Greater(t, served, 300)
	word.Ask(word.Look(), 0)
	release()
	_, err = f.Wait(t.Context())
	if err != nil {
		require.ErrorIs(t, err, ErrKilled)
	}
	eventually(t, "there are workers", func() bool { return p.Stats().Workers == 2 })
	same(t, p, echoInt, 1, 2, 3)
	require.Zero(t, p.Stats().Rebuilds)
	requireBalanced(t, p)
}

// A parent that is stopped does not answer; nor does it do later what was taken back.
func TestStoppedParent(t *testing.T) {
	parent := launch(t, "quiet parent")
	parent.hear(t, "idle")
	o := operateOn(t, parent.pid)
	suspend(t, parent.pid)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	incarnation := uint32(o.mem.told.Desks[0].Incarnation.Load())
	err := o.KillWorker(ctx, incarnation)
	require.NoError(t, syscall.Kill(parent.pid, syscall.SIGCONT))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, fmt.Sprint(parent.pid))
	require.NoError(t, o.KillWorker(t.Context(), uint32(o.mem.told.Desks[1].Incarnation.Load())))
	require.Equal(t, incarnation, uint32(o.mem.told.Desks[0].Incarnation.Load()))
}

// operateOn is for the only pool of another process.
func operateOn(t *testing.T, pid int) *Operator {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	for _, link := range links {
		if to, _ := os.Readlink(link); to == "/memfd:shmkit:quiet (deleted)" {
			f, err := os.OpenFile(link, os.O_RDWR, 0)
			require.NoError(t, err)
			o, err := Operate(f)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, o.Close()) })
			return o
		}
	}
	require.FailNow(t, "no pool")
	return nil
}
