//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// requireTold checks that what an Observer sees is what the pool says of itself, which has nothing to do.
func requireTold(t *testing.T, p *Pool, s *Snapshot) {
	t.Helper()
	want, c := p.Stats(), s.Counters
	require.EqualValues(t, want.Outstanding, s.Outstanding)
	require.Equal(t, want, Stats{Workers: want.Workers, Accepted: c.Accepted, Succeeded: c.Succeeded, Failed: c.Failed, Cancelled: c.Cancelled,
		Dropped: c.Dropped, Started: c.Started, Deaths: c.Deaths, Rebuilds: c.Rebuilds})
}

// Whatever becomes of tasks and workers, the numbers that are told are those of Stats, errors are told once for each kind, and places say
// why their workers have ended.
func TestTelling(t *testing.T) {
	p := start(t, Options{Workers: 1, MaxTasksPerWorker: 40, Grace: soon, Retries: 0})
	for range 30 {
		same(t, p, echoInt, 1)
	}
	for range 3 {
		_, err := misbehave.Call(t.Context(), p, "error")
		require.Error(t, err)
		_, err = misbehave.Call(t.Context(), p, "panic")
		require.Error(t, err)
	}
	for range 2 {
		_, err := die.Call(t.Context(), p, "exit 7")
		require.ErrorIs(t, err, ErrWorkerDied)
	}
	_, err := stubborn.With(Timeout(soon)).Call(t.Context(), p, -1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	ctx, cancel := context.WithCancel(t.Context())
	f := beginEndless(t, ctx, p)
	cancel()
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, context.Canceled)
	_, err = die.With(Retries(1)).Call(t.Context(), p, "kill")
	require.ErrorIs(t, err, ErrWorkerDied)
	for range 100 {
		same(t, p, echoInt, 1)
	}
	eventually(t, "all is over", func() bool { return p.Stats().Workers == 1 && p.Stats().Outstanding == 0 })
	s := snapshot(t, observe(t, p))
	requireTold(t, p, s)
	assert.EqualValues(t, 1, s.Counters.Timeouts)
	assert.EqualValues(t, 1, s.Counters.Retried)
	w := s.Workers[0]
	assert.EqualValues(t, 4, w.Ends["crashed"], w.Ends)
	assert.EqualValues(t, 1, w.Ends["timed_out"], w.Ends)
	assert.EqualValues(t, 1, w.Ends["abandoned"], w.Ends)
	assert.Positive(t, w.Ends["retired"], w.Ends)
	assert.Len(t, w.Ends, 4)
	faults := map[string]uint64{}
	for _, f := range s.Faults {
		faults[f.Function+": "+f.Text] = f.Count
		assert.WithinRange(t, f.First, s.Born, f.Last)
		assert.WithinRange(t, f.Last, f.First, time.Now())
	}
	assert.Equal(t, map[string]uint64{"misbehave: plain": 3, "misbehave: boom": 3, "die: worker exited with status 7": 2,
		"die: worker was ended by a signal (killed)": 1}, faults)
	assert.Zero(t, s.Untold)

	require.NoError(t, p.Rebuild(t.Context()))
	same(t, p, echoInt, 1)
	s = snapshot(t, observe(t, p))
	requireTold(t, p, s)
	assert.Len(t, s.Faults, 4)
	events, missed, err := must(observe(t, p).ParentEvents()).Next()
	require.NoError(t, err)
	require.Zero(t, missed)
	assert.Equal(t, EventRebuilt, events[0].Kind)
}

// Errors of more kinds than there is room for are counted.
func TestFaultsWithoutRoom(t *testing.T) {
	p := start(t, Options{Workers: 1})
	p.mu.Lock()
	for i := range 100 {
		p.telling.faults.Add(0, string(rune('a'+i)), int64(i))
		p.telling.faults.Add(0, "a", int64(i))
	}
	p.mu.Unlock()
	s := snapshot(t, observe(t, p))
	require.Len(t, s.Faults, 64)
	require.EqualValues(t, 36, s.Untold)
	require.EqualValues(t, 101, s.Faults[0].Count)
}

// A chronicle is what the events of a worker's place tell.
type chronicle struct {
	player *Player
	told   map[uint64]Event // of tasks
	items  uint64
	untold uint64
	missed uint64
}

func (c *chronicle) read(t *testing.T) {
	events, missed, err := c.player.Next()
	require.NoError(t, err)
	c.missed += missed
	for _, e := range events {
		c.untold += e.Untold
		if e.Kind == EventRan || e.Kind == EventErred {
			require.NotContains(t, c.told, e.Task, "it is told twice")
			c.told[e.Task] = e
			c.items += uint64(e.N)
		}
	}
}

// Each task that takes 10 µs or more is told once, with times that are right, however many short ones are between; and it is told how many of
// those are not.
func TestLongTasksAreTold(t *testing.T) {
	p := start(t, Options{Workers: 1, Queue: 64})
	o := observe(t, p)
	c := chronicle{player: must(o.WorkerEvents(0)), told: map[uint64]Event{}}
	type call struct {
		f            *Future[int]
		before, took time.Time
	}
	rng := rand.New(rand.NewPCG(1, 2))
	longs, tasks := map[uint64]call{}, 0
	for range 400 {
		var calls []call
		for range 20 {
			us := 0
			if rng.IntN(20) == 0 {
				us = 20 + rng.IntN(100)
			}
			before := time.Now()
			f, err := lasts.Go(t.Context(), p, us)
			require.NoError(t, err)
			tasks++
			calls = append(calls, call{f: f, before: before})
			if us > 0 {
				p.mu.Lock()
				longs[uint64(f.id())] = calls[len(calls)-1]
				p.mu.Unlock()
			}
		}
		for _, k := range calls {
			us, err := k.f.Wait(t.Context())
			require.NoError(t, err)
			if us > 0 {
				id := uint64(0)
				for known, l := range longs {
					if l.f == k.f {
						id = known
					}
				}
				k.took = time.Now()
				longs[id] = k
			}
		}
		c.read(t)
	}
	// A task that was not told before is told of with the next that is.
	told := len(c.told)
	_, err := lasts.Call(t.Context(), p, 1000)
	require.NoError(t, err)
	tasks++
	eventually(t, "it is told", func() bool { c.read(t); return len(c.told) > told })
	require.Zero(t, c.missed)
	require.EqualValues(t, tasks, c.items+c.untold)
	require.EqualValues(t, tasks, snapshot(t, o).Workers[0].Ran)
	require.Positive(t, c.untold, "short ones are sampled")
	const slack = 100 * time.Microsecond // of two clocks that are read one after the other
	for id, k := range longs {
		e, told := c.told[id]
		require.True(t, told, "a long task is not told")
		us, err := k.f.Wait(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, e.End.Sub(e.Begin), time.Duration(us)*time.Microsecond*9/10)
		require.WithinRange(t, e.Begin, k.before.Add(-slack), k.took)
		require.WithinRange(t, e.End, e.Begin, k.took.Add(slack))
		if e.Wait >= 0 {
			require.Less(t, e.Wait, e.End.Sub(k.before)+slack)
		}
	}
	s := snapshot(t, o)
	runs := s.Functions[lasts.def.id].Runs
	long := uint64(0)
	for _, b := range runs.Buckets() {
		if b.Below > 24*time.Microsecond {
			long += b.Count
		}
	}
	require.EqualValues(t, len(c.told), runs.Count(), "what is told is counted once")
	require.GreaterOrEqual(t, long, uint64(len(longs))*3/4)
	require.EqualValues(t, s.Workers[0].Timed, runs.Count())
}

// How long a task has waited is told within what the test sees of it.
func TestWaitsAreTold(t *testing.T) {
	p := start(t, Options{Workers: 1})
	o := observe(t, p)
	p.mu.Lock()
	p.telling.sampler.skip = 0
	p.mu.Unlock()
	release := hold(t, p)
	p.mu.Lock()
	p.telling.sampler.skip = 0
	p.mu.Unlock()
	before := time.Now()
	f, err := lasts.Go(t.Context(), p, 100)
	require.NoError(t, err)
	accepted := time.Now()
	eventually(t, "it has waited for a while", func() bool { return snapshot(t, o).Queue.Oldest > 20*time.Millisecond })
	least := time.Since(accepted)
	release()
	_, err = f.Wait(t.Context())
	require.NoError(t, err)
	most := time.Since(before)
	waits := func() Times { return snapshot(t, o).Functions[lasts.def.id].Waits }
	eventually(t, "it is told", func() bool { w := waits(); return w.Count() == 1 })
	w := waits()
	const slack = time.Millisecond // of two clocks that go apart
	require.GreaterOrEqual(t, w.Longest(), least-slack)
	require.LessOrEqual(t, w.Longest(), most+slack)
	events, _, err := must(o.ParentEvents()).Next()
	require.NoError(t, err)
	last := events[len(events)-1]
	require.Equal(t, EventJourney, last.Kind)
	require.Equal(t, lasts.Name(), last.Function)
	require.GreaterOrEqual(t, last.End.Sub(last.Begin), w.Longest())
}

// requestsWord is where requests stand on the board, in words: by writing there a worker may have others killed, see TestHostileRequests.
const requestsWord = 13

// scrawl writes all over what is told.
var scrawl = Func("scrawl", func(ctx context.Context, c crime) (int, error) {
	rng, m := rand.New(rand.NewPCG(c.Seed, 0)), processContexts.worker.mem
	common := layout.MustSlice[uint64](m.bytes, m.off.telemetry, int(telemetry.CommonSize(m.geo.workers)/8))
	stamps := layout.MustSlice[uint64](m.bytes, m.off.stamps, m.geo.slots)
	var own [][]uint64
	for i := range m.geo.workers {
		if i == 0 || m.told.Desks[i].Starts.Load() > 0 {
			own = append(own, layout.MustSlice[uint64](m.bytes, m.off.records+int64(i)*telemetry.OwnSize(m.geo.functions), int(telemetry.OwnSize(m.geo.functions)/8)))
		}
	}
	if err := os.WriteFile(c.When, nil, 0o600); err != nil {
		return 0, err
	}
	for n := 0; ctx.Err() == nil; n++ {
		for _, words := range append(own, common, stamps) {
			if at := &words[rng.IntN(len(words))]; at != &common[requestsWord] {
				*at = rng.Uint64() >> rng.IntN(64)
			}
		}
	}
	return 0, ctx.Err()
})

// A worker that writes over all that is told disturbs nobody: no task is lost or wrong, no worker is, and the pool keeps its memory. Who looks on
// sees nonsense, and is not harmed.
func TestScribblesOverTelling(t *testing.T) {
	p := start(t, Options{Workers: 3, Queue: 64, Grace: watchdog})
	o := observe(t, p)
	ctx, stop := context.WithCancel(t.Context())
	began := filepath.Join(t.TempDir(), "began")
	f, err := scrawl.Go(ctx, p, crime{Seed: 5, When: began})
	require.NoError(t, err)
	eventually(t, "it scrawls", func() bool { _, err := os.Stat(began); return err == nil })
	for i := range 20 {
		n := 0
		for y, err := range square.Map(t.Context(), p, numbers(300)) {
			require.NoError(t, err)
			require.Equal(t, n*n, y)
			n++
		}
		require.Equal(t, 300, n)
		same(t, p, echoInt, 1, 2, 3)
		same(t, p, echoBytes, make([]byte, 10_000))
		_, err := misbehave.Call(t.Context(), p, "error")
		require.Error(t, err)
		exercise(o)
		if i == 10 { // one more has to start there
			require.NoError(t, p.Resize(4))
			eventually(t, "there are four", func() bool { return p.Stats().Workers == 4 })
		}
	}
	s := p.Stats()
	require.Zero(t, s.Rebuilds)
	require.Zero(t, s.Deaths)
	stop()
	_, err = f.Wait(context.WithoutCancel(t.Context()))
	require.ErrorIs(t, err, context.Canceled)
	eventually(t, "it has ended", func() bool { return p.Stats().Outstanding == 0 })
	requireBalanced(t, p)
	require.EqualValues(t, 20, p.Stats().Failed)
}

// A worker that is killed leaves a file that shows what it did, and how the pool stood then.
func TestCrashFile(t *testing.T) {
	dir := t.TempDir()
	p := start(t, Options{Name: "fragile", Workers: 2, CrashDir: dir, Queue: 8})
	same(t, p, echoInt, 1, 2, 3)
	_, err := die.Call(t.Context(), p, "panic")
	died := (*WorkerDiedError)(nil)
	require.ErrorAs(t, err, &died)
	one := func() *Observer {
		var names []string
		eventually(t, "there is a file", func() bool {
			names, err = filepath.Glob(filepath.Join(dir, "*.crash"))
			return err == nil && len(names) == 1
		})
		o := observePath(t, names[0])
		require.NoError(t, os.Remove(names[0]))
		return o
	}
	o := one()
	d := o.Death()
	require.NotNil(t, d)
	assert.False(t, d.At.Before(d.Began))
	assert.NotZero(t, d.Task)
	assert.Equal(t, Death{Place: d.Place, Incarnation: d.Incarnation, Pid: died.Pid, At: d.At, Reason: "crashed", Text: d.Text, ExitCode: 2, Traceback: died.Traceback,
		Task: d.Task, Function: die.Name(), Began: d.Began}, *d)
	assert.Contains(t, d.Traceback, "in a goroutine of its own")
	s := snapshot(t, o)
	assert.Equal(t, "fragile", s.Name)
	assert.Equal(t, PoolOpen, s.State)
	require.Len(t, s.Workers, 2)
	w := s.Workers[d.Place]
	assert.False(t, w.Alive)
	assert.True(t, s.Workers[1-d.Place].Alive)
	require.NotNil(t, w.Task)
	assert.Equal(t, die.Name(), w.Task.Function)
	events, _, err := must(o.WorkerEvents(d.Place)).Next()
	require.NoError(t, err)
	require.NotEmpty(t, events)
	requireSound(t, o)

	require.NoError(t, syscall.Kill(p.Workers()[0].Pid, syscall.SIGKILL))
	o = one()
	assert.Equal(t, "killed", o.Death().Signal)
	assert.Zero(t, o.Death().Task, "it was idle")
	assert.Equal(t, -1, o.Death().ExitCode)
	require.NoError(t, p.Resize(1)) // which is no crash
	eventually(t, "one has left", func() bool { return len(p.Workers()) == 1 })
	require.NoError(t, p.Close())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)

	_, err = New(Options{CrashDir: filepath.Join(dir, "missing")})
	require.ErrorIs(t, err, os.ErrNotExist)
}
