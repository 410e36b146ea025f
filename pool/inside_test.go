//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"math"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

// startSeeded starts a pool whose ready ring stands at pos and whose slots stand at gen.
func startSeeded(t *testing.T, o Options, pos, gen uint64) *Pool {
	o, err := o.withDefaults()
	require.NoError(t, err)
	home, err := newEstate(o)
	require.NoError(t, err)
	p := newPool(o, home)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	p.mem.ready.Reset(pos)
	p.ready = p.mem.ready.Producer(pos)
	for i := range p.entries {
		p.entries[i].gen = gen
	}
	require.NoError(t, p.start())
	return p
}

// Positions and generations wrap while tasks come and go.
func TestWraps(t *testing.T) {
	for _, queue := range []int{1, 2, 3, 64} {
		for _, pos := range []uint64{math.MaxUint32 - 20, math.MaxUint64 - 20} {
			t.Run(fmt.Sprintf("queue=%d/pos=%#x", queue, pos), func(t *testing.T) {
				p := startSeeded(t, Options{Workers: 2, Queue: queue}, pos, maxGeneration-5)
				i := 0
				for y, err := range square.Map(t.Context(), p, numbers(200)) {
					require.NoError(t, err)
					require.Equal(t, i*i, y)
					i++
				}
				require.Equal(t, 200, i)
				for i := range 100 {
					y, err := square.Call(t.Context(), p, i)
					require.NoError(t, err)
					require.Equal(t, i*i, y)
				}
				require.Less(t, p.ready.Tail(), uint64(math.MaxUint32)<<8, "the position has wrapped")
			})
		}
	}
}

// What no honest worker writes gives the pool new memory, and all that was accepted an error: it does not crash, and goes on.
func TestCorruption(t *testing.T) {
	for name, corrupt := range map[string]func(p *Pool){
		"slot out of range": func(p *Pool) {
			p.mem.completions(0).Producer(0).TryPush(1 << 30)
		},
		"result too long":   func(p *Pool) { forge(p, func(s *slot) { s.resKind, s.resLen = inline, 17 }) },
		"near too long":     func(p *Pool) { forge(p, func(s *slot) { s.resKind, s.resLen = near, nearBytes+1 }) },
		"impossible word":   func(p *Pool) { p.mem.slots[runningSlot(p)].word.Store(uint64(makeWord(running, 999, 1))) },
		"freed by itself":   func(p *Pool) { p.mem.slots[runningSlot(p)].word.Store(0) },
		"stop flag":         func(p *Pool) { p.mem.ctl.stop.Store(1) },
		"number of workers": func(p *Pool) { p.mem.ctl.present.Add(1) },
		"header":            func(p *Pool) { p.mem.bytes[0]++ },
		"arena's header":    func(p *Pool) { p.mem.arena()[0]++ },
		"function table":    func(p *Pool) { p.mem.table()[3]++ },
		"ready ring":        func(p *Pool) { p.mem.bytes[p.mem.off.ready] += 5 },
		"reports": func(p *Pool) {
			clear(p.mem.bytes[p.mem.off.completions+layout.Line:][:16])
			p.mem.bytes[p.mem.off.completions+layout.Line+5] = 77
		},
		"unknown place": func(p *Pool) { forge(p, func(s *slot) { s.resKind = 77 }) },
		"outside the region": func(p *Pool) {
			forge(p, func(s *slot) { s.resKind, s.resLen, s.res = distant, 1<<63, [16]byte{1, 2, 3, 4, 5, 6, 7, 8} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, Options{Workers: 1})
			_, err := block.Go(t.Context(), p, 1)
			require.NoError(t, err)
			waiting, err := square.Go(t.Context(), p, 1)
			require.NoError(t, err)
			eventually(t, "the first task runs", func() bool { return runningSlot(p) >= 0 })
			corrupt(p)
			_, err = waiting.Wait(t.Context())
			require.ErrorIs(t, err, ErrCorrupted)
			y, err := square.Call(t.Context(), p, 7)
			require.NoError(t, err)
			require.Equal(t, 49, y)
			require.EqualValues(t, 1, p.Stats().Rebuilds)
			require.Zero(t, p.Stats().Outstanding)
		})
	}
}

// runningSlot returns a slot whose task runs, or -1.
func runningSlot(p *Pool) int {
	for i := range p.mem.slots {
		if word(p.mem.slots[i].word.Load()).state() == running {
			return i
		}
	}
	return -1
}

// forge finishes the running task in its worker's name.
func forge(p *Pool, write func(*slot)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := runningSlot(p)
	s := &p.mem.slots[i]
	w := word(s.word.Load())
	write(s)
	s.word.Store(uint64(makeWord(done, w.worker(), w.gen())))
	p.mem.completions(0).Producer(0).TryPush(uint32(i))
}

// Hints that are stale, doubled or lost change nothing.
func TestHintsAreOnlyHints(t *testing.T) {
	p := start(t, Options{Workers: 2, Queue: 8})
	for i := range 200 {
		p.mu.Lock()
		p.ready.TryPush(uint32(i % 8)) // whoever is there
		p.ready.TryPush(1 << 20)       // nobody
		p.mu.Unlock()
		same(t, p, echoInt, i)
	}
	// A lost hint is pushed again by the reaper's check.
	release := hold(t, p)
	p.mu.Lock()
	p.crowd.areas = nil // nobody is woken
	p.mu.Unlock()
	f, err := square.Go(t.Context(), p, 7)
	require.NoError(t, err)
	p.mu.Lock()
	for {
		if _, ok := p.mem.ready.TryPop(); !ok {
			break
		}
	}
	p.crowd = p.mem.crowd()
	p.mu.Unlock()
	release()
	y, err := f.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 49, y)
}

// Wakes that were left out because somebody was looking are made up for by a chain:
// each worker that is woken wakes the next while there is work.
func TestWakesThatWereLeftOut(t *testing.T) {
	const workers = 4
	p := start(t, Options{Workers: workers})
	eventually(t, "all workers sleep", func() bool { return p.crowd.count(p.crowd.idle.sleepers[:]) == workers })
	set(p.crowd.idle.spinners[:], 0) // one that is not scheduled
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range workers {
		_, err := block.Go(ctx, p, 0)
		require.NoError(t, err)
	}
	p.mu.Lock() // nobody in the parent can help now
	defer p.mu.Unlock()
	unset(p.crowd.idle.spinners[:], 0)
	p.crowd.wake(0)
	eventually(t, "all tasks run", func() bool { return slotsThatAre(p, running) == workers })
}

// Results are taken, and replacements noticed, also when nobody waits.
func TestNobodyWaits(t *testing.T) {
	p := start(t, Options{Workers: 1, Queue: 4, Memory: 1 << 20})
	require.NoError(t, syscall.Kill(p.Workers()[0].Pid, syscall.SIGKILL))
	eventually(t, "the replacement is ready", func() bool {
		s := p.Stats()
		return s.Deaths == 1 && s.Workers == 1
	})
	for range 5 {
		_, err := grow.Go(t.Context(), p, 300<<10)
		require.NoError(t, err)
	}
	eventually(t, "all have ended", func() bool { return p.Stats().Succeeded == 5 })
	require.EqualValues(t, 1, p.Stats().Deaths)
}

// A slot that is handed to a waiting caller while the pool is terminated is not used.
func TestTerminateWithWaiters(t *testing.T) {
	for range 20 {
		p, err := New(Options{Workers: 1, Queue: 1})
		require.NoError(t, err)
		var wg sync.WaitGroup
		busy := make(chan struct{}, 1<<20)
		for range 32 {
			wg.Go(func() {
				for {
					if _, err := square.Call(context.Background(), p, 1); err != nil {
						assert.ErrorIs(t, err, ErrClosed)
						return
					}
					select {
					case busy <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 10 {
			receive(t, busy)
		}
		p.Terminate()
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		receive(t, done)
	}
}

func TestStats(t *testing.T) {
	p := start(t, Options{Workers: 2})
	before := p.Stats()
	assert.Equal(t, 2, before.Workers)
	same(t, p, echoInt, 1, 2, 3)
	_, err := misbehave.Call(t.Context(), p, "error")
	require.Error(t, err)
	got := p.Stats().Sub(before)
	assert.Equal(t, Stats{Workers: 2, Accepted: 4, Succeeded: 3, Failed: 1}, got)
	assert.Equal(t, "2 workers, 0 outstanding; 4 accepted, 3 succeeded, 1 failed, 0 cancelled; 0 started, 0 died; rebuilt 0 times", got.String())
	for i, w := range p.Workers() {
		assert.Equal(t, i, w.Index)
		assert.NotZero(t, w.Pid)
		assert.True(t, w.Ready)
	}
}

func TestGeometry(t *testing.T) {
	g := geometry{slots: 3, workers: 2, table: 5, init: 0, memory: memoryUnit, page: pageBytes}
	off := g.offsets()
	for _, o := range []int64{off.control, off.ready, off.workers, off.completions, off.slots, off.near, off.boot} {
		assert.Zero(t, o%layout.Line)
	}
	assert.Zero(t, off.arena%pageBytes)
	assert.Equal(t, off.arena+shm.ArenaSize(g.memory, g.page), off.total)
	var params [5]uint64
	copy(params[:], g.params())
	back, err := geometryOf(params, off.total)
	require.NoError(t, err)
	assert.Equal(t, g, back)
	_, err = geometryOf(params, off.total+1)
	require.ErrorIs(t, err, layout.ErrParams)
	for i := range params {
		bad := params
		bad[i] = math.MaxUint64
		_, err = geometryOf(bad, off.total)
		require.ErrorIs(t, err, layout.ErrParams)
	}
}
