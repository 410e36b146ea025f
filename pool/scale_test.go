//go:build linux && (amd64 || arm64)

package pool

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/backoff"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/ring"
)

// What a task costs in shared memory, and whether that grows with the number of workers: the
// real code of parent and workers, run step by step in virtual time.

// A stage is a pool on the heap, whose processes take turns in virtual time.
type stage struct {
	*journal
	t       *testing.T
	p       *Pool
	workers []*worker
	due     []time.Time // when each worker's task ends; zero for those that have none
	rng     *rand.Rand
	takes   int
	steals  int
	ended   int
}

// newStage has so many slots that a worker which looks always finds a whole batch.
func newStage(t *testing.T, workers int) *stage {
	slots := 2 * maxBatch * workers
	m := heapTable(t, slots, workers)
	s := &stage{t: t, p: newPool(Options{Workers: workers, MaxWorkers: workers, Queue: slots}, heapEstate(m)), rng: rand.New(rand.NewPCG(1, uint64(workers))),
		due: make([]time.Time, workers)}
	for k := range workers {
		w := m.newWorker(k)
		w.completions, w.contexts, w.bell = m.completions(k).Producer(0), newContexts(m.bytes, w.area), m.bell()
		s.workers = append(s.workers, w)
		member := s.p.newMember(k)
		member.incarnation, member.vacant = w.incarnation, false
		s.p.members = append(s.p.members, member)
	}
	s.journal = newJournal(m)
	return s
}

// warmStage is a stage all of whose workers have found that whole batches pay.
func warmStage(t *testing.T, workers int) *stage {
	s := newStage(t, workers)
	s.submit()
	for _, w := range s.workers {
		require.True(t, s.begin(w, s.short()))
	}
	for slices.ContainsFunc(s.workers, func(w *worker) bool { return w.batch.limit < maxBatch }) {
		s.work(1)
	}
	return s
}

// submit is the parent's turn: it takes all results, and gives a task for each free slot.
func (s *stage) submit() {
	s.book(s.t, nobody, 0, s.m.off.books)
	s.ended += s.p.reap()
	for _, i := range s.p.freeSlots {
		e := &s.p.entries[i]
		e.live, e.gen, e.def = true, e.gen+1, &definition{}
		s.p.outstanding++
		s.p.enqueue(i)
	}
	s.p.freeSlots = s.p.freeSlots[:0]
	s.book(s.t, parent, 0, s.m.off.books)
}

// begin is a worker's turn to find a task, which then takes that long. It reports whether there was one.
func (s *stage) begin(w *worker, takes time.Duration) bool {
	head := s.m.ready.Head()
	found := w.next()
	if s.m.ready.Head() != head {
		s.takes++
	}
	if !found && w.steal() {
		require.Equal(s.t, head, s.m.ready.Head(), "who steals leaves the ring alone")
		s.steals++
		found = w.next()
		require.True(s.t, found, "what was to be had a moment ago")
	}
	s.bookTurn(w)
	if found {
		s.due[w.index] = time.Now().Add(takes)
	}
	return found
}

// end ends the task that ends next, waiting until it does, and returns its worker.
func (s *stage) end() *worker {
	k := -1
	for i, at := range s.due {
		if !at.IsZero() && (k < 0 || at.Before(s.due[k])) {
			k = i
		}
	}
	<-time.After(time.Until(s.due[k]))
	s.due[k] = time.Time{}
	w := s.workers[k]
	w.end(nil)
	s.bookTurn(w)
	return w
}

// bookTurn looks where a worker may have written; submit finds whether it wrote anywhere else.
func (s *stage) bookTurn(w *worker) {
	s.book(s.t, w.index, s.m.off.control, ctlBytes)
	s.book(s.t, w.index, s.m.off.ready, layout.Line)
	s.book(s.t, w.index, s.m.off.workers+int64(w.index)*workerBytes, workerBytes)
	reports := s.m.off.completions + int64(w.index)*ring.HintsSize(s.m.geo.slots)
	cell := int64(w.completions.Tail()-1) % ((ring.HintsSize(s.m.geo.slots) - layout.Line) / 8)
	s.book(s.t, w.index, reports+layout.Line+8*max(cell, 0), 8)
	s.book(s.t, w.index, s.m.off.slots+int64(w.out.index)*slotBytes, slotBytes)
	s.book(s.t, w.index, s.m.deskAt(w.index), layout.Line)
}

func (s *stage) short() time.Duration { return 50 + time.Duration(s.rng.IntN(250)) }

// work lets all workers go on for n tasks that take no time to speak of, while there are always
// enough to take.
func (s *stage) work(n int) {
	for range n {
		if s.p.ready.Tail()-s.m.ready.Head() < maxBatch {
			s.submit()
		}
		require.True(s.t, s.begin(s.end(), s.short()))
	}
}

// Short tasks cost a fixed number of writes to shared memory, however many workers there
// are. The one line that all workers write is written once for each batch.
func TestWritesPerTask(t *testing.T) {
	backoff.Pause(1) // it measures what a pause costs, which must not be done in virtual time
	for _, workers := range []int{1, 2, 3, 8, 64, 256} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testWritesPerTask(t, workers) })
		})
	}
}

func testWritesPerTask(t *testing.T, workers int) {
	s := warmStage(t, workers)
	s.submit()
	s.forget()
	s.takes, s.ended = 0, 0
	tasks := max(48*workers, 4096)
	s.work(tasks)
	s.submit()
	for _, name := range slices.Sorted(maps.Keys(s.sums)) {
		t.Logf("%d tasks, %s: %+v", tasks, name, *s.sums[name])
	}
	require.Zero(t, s.steals)
	require.Equal(t, tasks, s.ended)

	require.LessOrEqual(t, s.takes, tasks/maxBatch+workers)
	require.Equal(t, sum{byWorkers: s.takes, moves: s.sums["head"].moves}, *s.sums["head"], "nobody else writes the head")
	require.Zero(t, *s.sums["idle"], "nobody is idle")
	require.Equal(t, sum{byParent: tasks}, *s.sums["cells"], "workers only read them")
	require.Equal(t, 2*tasks, s.sums["slots"].byWorkers, "claimed and ended")
	require.Equal(t, tasks, s.sums["slots"].byParent)
	require.LessOrEqual(t, s.sums["slots"].moves, 2*tasks)
	require.Equal(t, tasks, s.sums["reports"].byWorkers)
	require.LessOrEqual(t, s.sums["areas"].byWorkers, 3*tasks, "shown, begun and named")
	require.Equal(t, sum{byWorkers: s.sums["areas"].byWorkers}, *s.sums["areas"], "they stay with their workers")
	require.Equal(t, sum{byWorkers: s.takes}, *s.sums["desks"], "beside those of worker.run, which is not called")
	require.Equal(t, sum{byParent: s.sums["telling"].byParent}, *s.sums["telling"])
	require.LessOrEqual(t, s.sums["telling"].byParent, 2*tasks)
}

// At the end of the work those that have none take over what waits behind long tasks, without
// a write to the ring; each task is run once.
func TestStealsAtTheEnd(t *testing.T) {
	backoff.Pause(1)
	for _, workers := range []int{2, 3, 8, 64, 256} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testStealsAtTheEnd(t, workers) })
		})
	}
}

func testStealsAtTheEnd(t *testing.T, workers int) {
	const long = time.Second
	s := warmStage(t, workers)
	s.submit()
	s.m.ctl.stop.Store(1) // who finds nothing comes back at once
	s.book(t, parent, s.m.off.control, ctlBytes)
	s.forget()
	s.ended, s.takes = 0, 0
	tasks, start := s.p.outstanding, time.Now()
	s.begin(s.end(), long) // and the rest of its batch waits behind it
	var last time.Time     // when a task began
	for s.anyRuns() {
		for w := s.end(); w != nil; w = s.called() {
			if s.begin(w, s.short()) {
				last = time.Now()
			} else {
				set(s.m.ctl.idle.sleepers[:], w.index)
				s.bookTurn(w)
			}
		}
	}
	s.submit()
	require.Equal(t, tasks, s.ended)
	require.Less(t, last.Sub(start), long, "nothing has waited for the long task")
	require.NotZero(t, s.steals)
	require.Equal(t, s.takes, s.sums["head"].byWorkers)
	require.LessOrEqual(t, s.sums["idle"].byWorkers, workers+s.steals, "as often as one goes to sleep or is called")
}

func (s *stage) anyRuns() bool {
	return slices.ContainsFunc(s.due, func(at time.Time) bool { return !at.IsZero() })
}

// called returns a worker that was woken and has not looked yet, if there is one.
func (s *stage) called() *worker {
	for k, w := range s.workers {
		if s.due[k].IsZero() && s.m.ctl.idle.sleepers[k/64].Load()>>(k%64)&1 == 0 {
			return w
		}
	}
	return nil
}
