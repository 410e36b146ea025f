//go:build linux && (amd64 || arm64)

package pool

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/internal/layout"
)

// heapTable is heapMemory with as many slots, for tests that have no [testing.T].
func heapTable(t require.TestingT, slots, workers int) *memory {
	g := geometry{slots: slots, workers: workers, page: pageBytes}
	n := g.offsets().total
	lines := make([][layout.Line / 8]uint64, n/layout.Line+1)
	m, err := view(layout.SliceBytes(lines)[:n], g)
	require.NoError(t, err)
	m.ctl.present.Store(uint32(workers))
	return m
}

// heapEstate is m as a pool's, without a segment nor an arena.
func heapEstate(m *memory) *estate { return &estate{mem: m, crowd: m.crowd(), bell: m.bell()} }

// offer queues task gen in each slot and publishes a hint for it.
func (m *memory) offer(t require.TestingT, p interface{ TryPush(uint32) (uint64, bool) }, gen uint64, slots ...uint32) {
	for _, i := range slots {
		if int(i) < len(m.slots) {
			m.slots[i].word.Store(uint64(makeWord(queued, 0, gen)))
		}
		_, ok := p.TryPush(i)
		require.True(t, ok)
	}
}

// shown returns the slots that others see in worker k's batch.
func (m *memory) shown(k int) (slots []uint32) {
	for j := range m.workers[k].batch {
		if v := m.workers[k].batch[j].Load(); v != 0 {
			slots = append(slots, uint32(v-1))
		}
	}
	return slots
}

func upTo(n int) (slots []uint32) {
	for i := range n {
		slots = append(slots, uint32(i))
	}
	return slots
}

// Others see what a worker has taken, but for what it is about to begin and for hints at
// no slot; nothing is left to be seen once it has gone through its batch.
func TestBatchIsShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const slots = 64
		m := heapTable(t, slots, 2)
		w := m.newWorker(0)
		w.batch.limit = rapid.IntRange(1, maxBatch).Draw(t, "limit")
		hints := rapid.SliceOfN(rapid.Uint32Range(0, slots+3), 1, 2*maxBatch).Draw(t, "hints")
		m.offer(t, m.ready.Producer(0), 1, hints...)

		require.True(t, w.take())
		n := min(len(hints), w.batch.limit)
		require.EqualValues(t, n, m.ready.Head(), "taken from the ring")
		for k, i := range hints[:n] {
			var want []uint32
			for _, later := range hints[max(k, 1):n] {
				if later < slots {
					want = append(want, later)
				}
			}
			require.Equal(t, want, m.shown(0))
			got, ok := w.batch.pop(w.area)
			require.True(t, ok)
			require.Equal(t, i, got)
		}
		require.Empty(t, m.shown(0))
		_, ok := w.batch.pop(w.area)
		require.False(t, ok)
	})
}

// A worker without work takes the last of another's batch, and knows whether there is more;
// the first it leaves to the owner, who goes past what is gone.
func TestSteal(t *testing.T) {
	m := heapTable(t, 16, 3)
	owner, thief := m.newWorker(0), m.newWorker(1)
	owner.batch.limit = 4
	m.offer(t, m.ready.Producer(0), 1, 5, 6, 7, 8)
	require.False(t, thief.steal(), "nothing is taken yet")
	require.True(t, owner.take())

	for _, want := range []uint32{8, 7} {
		require.True(t, thief.steal())
		i, ok := thief.batch.pop(thief.area)
		require.True(t, ok)
		require.Equal(t, want, i)
		require.True(t, thief.claim(i))
		require.Empty(t, m.shown(1), "what is stolen is begun at once")
	}
	require.True(t, thief.steal())
	require.True(t, thief.claim(6))
	require.False(t, thief.steal(), "the first is the owner's")

	m.ctl.stop.Store(1)
	require.True(t, owner.next())
	require.EqualValues(t, 5, owner.out.index)
	require.False(t, owner.next(), "all others are claimed")
	require.Empty(t, m.shown(0))
}

// Whatever stands in a batch, only a task that waits is found there: the last one.
func TestStaleBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const slots = 8
		m := heapTable(t, slots, 2)
		for i := range m.slots {
			s := state(rapid.IntRange(int(free), int(doomed)+1).Draw(t, "state"))
			m.slots[i].word.Store(uint64(makeWord(s, 3, 9)))
		}
		entry := rapid.OneOf(rapid.Uint64Range(0, slots+2), rapid.SampledFrom([]uint64{1 << 32, 1<<32 + 1, math.MaxUint64}))
		var waiting []uint32
		for k := range maxBatch {
			v := entry.Draw(t, "entry")
			m.workers[0].batch[k].Store(v)
			if k > 0 && v >= 1 && v <= slots && word(m.slots[v-1].word.Load()).state() == queued {
				waiting = append(waiting, uint32(v-1))
			}
		}
		slot, ok := m.waiting(&m.workers[0])
		require.Equal(t, len(waiting) > 0, ok)
		if ok {
			require.Equal(t, waiting[len(waiting)-1], slot)
		}
		require.False(t, m.newWorker(1).steal(), "worker 0 is not among those who share")
		m.ctl.sharing[0].Store(math.MaxUint64)
		require.Equal(t, ok, m.newWorker(1).steal())
		require.False(t, m.newWorker(0).steal(), "from itself")
	})
}

// Workers take, steal and claim at the same time: each task is claimed once, also while one of them
// is stopped with all that it has taken, but for what it was about to begin.
func TestBatchesAreClaimedOnce(t *testing.T) {
	const tasks = 64
	for _, stopped := range []int{0, 1} {
		t.Run(fmt.Sprintf("stopped=%d", stopped), func(t *testing.T) {
			m := heapTable(t, tasks, 4)
			hints := m.ready.Producer(0)
			var workers []*worker
			for i := range m.workers {
				w := m.newWorker(i)
				w.batch.limit = maxBatch
				workers = append(workers, w)
			}
			for gen := range uint64(200) {
				m.offer(t, hints, gen, upTo(tasks)...)
				for _, w := range workers[:stopped] {
					require.True(t, w.take())
				}
				times := claimAll(t, workers[stopped:], tasks-stopped)
				m.ctl.stop.Store(1)
				for _, w := range workers[:stopped] { // goes on
					for w.next() {
						times[w.out.index].Add(1)
					}
				}
				m.ctl.stop.Store(0)
				for !m.ready.Empty() { // what was stolen between show and Take is hinted at still
					m.ready.TryPop()
				}
				for i := range times {
					require.EqualValues(t, 1, times[i].Load(), "task %d of round %d", i, gen)
				}
			}
		})
	}
}

// claimAll lets the workers claim n tasks in all, and counts how often each was claimed.
func claimAll(t *testing.T, workers []*worker, n int) []atomic.Int32 {
	times := make([]atomic.Int32, len(workers[0].mem.slots))
	var claimed atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for _, w := range workers {
		wg.Go(func() {
			for claimed.Load() < int64(n) && time.Since(start) < watchdog {
				if i, ok := w.batch.pop(w.area); ok {
					if w.claim(i) {
						times[i].Add(1)
						claimed.Add(1)
					}
				} else if !w.take() && !w.steal() {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, n, claimed.Load())
	return times
}

// Short tasks double the limit up to what a batch can hold, long ones lower it at once to
// what fits its time.
func TestBatchLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatch()
		require.Equal(t, 1, b.limit)
		b.n = 1
		b.measure(true) // there is nothing to measure yet
		for _, want := range []int{2, 4, 8, 16, 16} {
			b.measure(true)
			require.Equal(t, want, b.limit)
		}
		for limit := 1; limit <= maxBatch; limit++ {
			for n := 1; n <= limit; n++ {
				for _, fit := range []int{1, 3, 15, 16, 1000} { // so many tasks take batchTime
					each := batchTime / time.Duration(fit)
					b.limit, b.n, b.began = limit, n, time.Now().Add(-time.Duration(n)*each)
					b.measure(true)
					require.Equal(t, min(int(batchTime/each), maxBatch, 2*limit), b.limit)
					require.Equal(t, time.Now(), b.began)
				}
			}
		}
		b.limit, b.n, b.began = 16, 2, time.Now().Add(-time.Hour)
		b.measure(false)
		require.Equal(t, 16, b.limit, "a lone task says nothing")
		require.Zero(t, b.began)
		b.began = time.Now().Add(-time.Hour)
		b.measure(true)
		require.Equal(t, 1, b.limit)
	})
}

// A take measures the batch before it. A look that finds nothing, a lone hint and a task that was
// stolen end the measurement.
func TestTakeMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := heapTable(t, 64, 2)
		hints := m.ready.Producer(0)
		w := m.newWorker(0)
		takes := func(want int, each time.Duration) {
			require.True(t, w.take())
			require.Equal(t, want, w.batch.n)
			for _, ok := w.batch.pop(w.area); ok; _, ok = w.batch.pop(w.area) {
				<-time.After(each)
			}
		}
		m.offer(t, hints, 1, upTo(36)...)
		for _, want := range []int{1, 2, 2, 4, 8} {
			takes(want, 100)
		}
		takes(16, batchTime)
		takes(1, 100)
		require.NotZero(t, w.batch.began)
		require.Equal(t, 1, w.batch.limit, "the last batch took too long")
		takes(2, 100)
		require.False(t, w.take())
		require.Zero(t, w.batch.began, "there was nothing")

		w.batch.limit, w.batch.began = 4, time.Now().Add(-time.Hour)
		m.offer(t, hints, 2, 1)
		takes(1, 0)
		require.Zero(t, w.batch.began, "there was one")
		require.Equal(t, 4, w.batch.limit)

		w.batch.began = time.Now().Add(-time.Hour)
		m.workers[1].batch[1].Store(1 + 1)
		set(m.ctl.sharing[:], 1)
		require.True(t, w.steal())
		require.Zero(t, w.batch.began, "one was stolen")
		require.Equal(t, 4, w.batch.limit)
	})
}

// Who was without work has kept others from being called: with its next task it calls one, if there is more to do, in the ring or in any batch,
// its own too. Not before it has left its set, or the call would be left out on its account, or wake it itself; and not again with the tasks
// that follow.
func TestWhoHadNoWorkCallsTheNext(t *testing.T) {
	for name, idle := range map[string]func(*worker){
		"spins":  func(w *worker) { w.owes = true; w.spin() },
		"sleeps": func(w *worker) { w.owes = true; w.sleep() },
		"waits":  (*worker).wait,
		"helps":  func(w *worker) { w.batch.takes = helpTakes - 1; w.take() },
		"naps": func(w *worker) {
			w.owes = true
			w.idling.since = time.Now().Add(-time.Hour) // tasks come slowly: it looks after its nap
			w.nap()
		},
		"is busy": func(*worker) {},
	} {
		for _, c := range []struct {
			where        string
			batch, queue int  // of another worker, and in the ring
			more         bool // than the idle one takes
		}{{"one in a batch", 2, 0, false}, {"two in a batch", 3, 0, true}, {"one in a batch, one in the ring", 2, 1, true}, {"one in the ring", 1, 1, false},
			{"two in the ring", 1, 2, true}} {
			t.Run(name+"/"+c.where, func(t *testing.T) {
				m := heapTable(t, 16, 3)
				owner, w := m.newWorker(0), m.newWorker(1)
				owner.batch.limit, w.idling.spinners = c.batch, 1
				producer := m.ready.Producer(0)
				m.offer(t, producer, 1, upTo(c.batch)...)
				require.True(t, owner.take())
				for k := range c.queue {
					m.offer(t, producer, 1, uint32(8+k))
				}
				set(m.ctl.idle.sleepers[:], 2)
				idle(w)
				w.batch.limit = 1
				want := uint32(0)
				if c.more && w.owes {
					want = 1
				}
				require.Zero(t, m.workers[2].wake.Load())
				require.True(t, name == "is busy" && c.queue == 0 || w.next())
				require.Equal(t, want, m.workers[2].wake.Load())
				require.False(t, w.owes)
			})
		}
	}
}
