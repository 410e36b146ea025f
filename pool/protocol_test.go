//go:build linux && (amd64 || arm64)

package pool

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/ring"
)

// The protocols of workers, run by goroutines over heap memory, where nobody repairs
// what they lose and the race detector sees what they do.

// heapMemory is a pool's memory on the heap.
func heapMemory(t *testing.T, workers int) *memory {
	g := geometry{slots: 16, workers: workers, page: pageBytes}
	n := g.offsets().total
	lines := make([][layout.Line / 8]uint64, n/layout.Line+1)
	mem := layout.SliceBytes(lines)
	m, err := view(mem[:n], g)
	require.NoError(t, err)
	return m
}

func (m *memory) newWorker(i int) *worker {
	return &worker{index: i, incarnation: uint32(i + 1), mem: m, area: &m.workers[i], crowd: m.crowd(),
		idling: newIdling(sys.CPUs()), batch: newBatch(), diary: diary{desk: &m.told.Desks[i]}}
}

// One hint at a time is published, as soon as the last was taken: the moment at which
// workers go to sleep. Each must be taken, with nobody to help.
func TestNoWakeIsLost(t *testing.T) {
	const workers = 3
	hints := int64(30_000)
	if runtime.GOMAXPROCS(0) == 1 {
		hints = 100 // each hand-over waits for the scheduler's clock: a worker leaves no processor behind
	}
	for _, spinners := range []int{0, 1} {
		t.Run(fmt.Sprintf("spinners=%d", spinners), func(t *testing.T) {
			m := heapMemory(t, workers)
			var taken atomic.Int64
			var wg sync.WaitGroup
			for i := range workers {
				w := m.newWorker(i)
				w.idling.spinners = spinners
				wg.Go(func() {
					for m.ctl.stop.Load() == 0 {
						if _, ok := m.ready.TryPop(); ok {
							taken.Add(1)
							continue
						}
						w.wait()
					}
				})
			}
			crowd := m.crowd()
			publish(t, m.ready.Producer(0), &crowd, &taken, hints)
			m.ctl.stop.Store(1)
			crowd.wakeAll(len(crowd.areas))
			wg.Wait()
			require.EqualValues(t, hints, taken.Load())
		})
	}
}

func publish(t *testing.T, p *ring.HintsProducer, c *crowd, taken *atomic.Int64, hints int64) {
	for n := range hints {
		_, ok := p.TryPush(uint32(n))
		require.True(t, ok)
		c.call()
		start := time.Now()
		for turn := 1; taken.Load() <= n; turn++ {
			runtime.Gosched()
			if turn%1024 == 0 && time.Since(start) > watchdog {
				require.FailNow(t, "a wake was lost", "hint %d", n)
			}
		}
	}
}

// A worker claims what waits, and nothing else.
func TestClaim(t *testing.T) {
	m := heapMemory(t, 2)
	w := m.newWorker(1)
	for s := free; s <= doomed; s++ {
		m.slots[3].word.Store(uint64(makeWord(s, 0, 7)))
		ok := w.claim(3)
		require.Equal(t, s == queued, ok, "%v", s)
		if ok {
			require.EqualValues(t, 7, w.gen)
			require.Equal(t, makeWord(running, 2, 7), word(m.slots[3].word.Load()))
		}
	}
	require.False(t, w.claim(1<<30), "a hint for no slot")
}

// Of several workers that are given the same hint one claims the task.
func TestClaimOnce(t *testing.T) {
	m := heapMemory(t, 4)
	for gen := range uint64(2000) {
		m.slots[0].word.Store(uint64(makeWord(queued, 0, gen)))
		var claimed atomic.Int64
		var wg sync.WaitGroup
		for i := range 4 {
			w := m.newWorker(i)
			wg.Go(func() {
				if w.claim(0) {
					claimed.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, claimed.Load())
	}
}
