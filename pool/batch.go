package pool

import (
	"math/bits"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

const (
	// maxBatch is how many hints a worker takes at once at most.
	maxBatch = 16

	// batchTime is how long a batch of tasks should take: so long that taking it costs
	// little, and so short that nobody waits for long behind a batch.
	batchTime = 5 * time.Microsecond

	// helpEvery and helpTakes are how often a worker that always finds work looks for tasks that wait
	// behind a long one in another's batch: they were there first. The clock is not read while
	// tasks come one by one.
	helpEvery = time.Millisecond
	helpTakes = 256
)

// A batch is the hints that a worker has taken and not acted on yet. All workers write
// the ready ring's head, so that a line moves for each time that one of them does: short tasks
// are taken by the dozen.
//
// A task in a batch is nobody's before it is claimed, and must not wait behind one
// that turns out to be long. So the batch is also in shared memory: a worker
// without work claims from there. What it finds may be stale, as all hints may. The set of those who share says where to look.
//
//	owner                          another worker
//	store its batch's slots        load head: nothing to take
//	join those who share           load who shares
//	CAS head                       load their batches
//	clear an entry, claim by CAS   claim by CAS
type batch struct {
	slots   [maxBatch]uint32
	next, n int
	limit   int       // of hints that are worth taking at once
	began   time.Time // when this batch was taken; zero if it is not measured
	helped  time.Time // when it was last time to look at the others' batches
	takes   int       // since
	shared  bool      // this worker is in the set of those who share
}

func newBatch() batch { return batch{limit: 1} }

func (b *batch) empty() bool { return b.next == b.n }

// pop returns the next slot of the batch.
func (b *batch) pop(area *workerArea) (slot uint32, ok bool) {
	if b.empty() {
		return 0, false
	}
	slot = b.slots[b.next]
	if b.next > 0 { // the first was never shown
		sys.ReleaseStore64(&area.batch[b.next], 0)
	}
	b.next++
	return slot, true
}

// take makes the next hints this worker's batch.
func (w *worker) take() bool {
	b := &w.batch
	if b.takes++; b.takes == helpTakes || b.began.Sub(b.helped) > helpEvery {
		b.helped, b.takes = b.began, 0
		if w.steal() {
			w.owes = true
			return true
		}
	}
	for {
		pos, n := w.mem.ready.Peek(b.slots[:max(b.limit, 2)])
		if n == 0 {
			if w.mem.ready.Head() == pos {
				b.began = time.Time{}
				return false
			}
			continue // cells of a later lap: head has moved on since
		}
		b.measure(n > 1)
		b.next, b.n = 0, min(n, b.limit)
		w.show()
		if w.mem.ready.Take(pos, b.n) { // a full fence: who sees the new head sees the batch
			telemetry.Raise(&w.diary.desk.Batches, 1)
			return true
		}
		b.n, b.began = 0, time.Time{}
	}
}

// show lets others see the batch, but for what is begun at once, and fetches what will be needed
// beside the slots if these tasks are like the last.
func (w *worker) show() {
	if w.batch.n > 1 && !w.batch.shared {
		w.batch.shared = true
		set(w.mem.ctl.sharing[:], w.index) // before the CAS of head; stays until this worker has nothing to do
	}
	for k := range w.batch.n {
		i := w.batch.slots[k]
		if int(i) >= len(w.mem.slots) {
			continue
		}
		if k > 0 {
			sys.ReleaseStore64(&w.area.batch[k], uint64(i)+1) // pairs with the load in memory.waiting
		}
		sys.PrefetchRead(w.mem.argNear(i)[:w.nearby])
		sys.PrefetchWriteBytes(w.mem.resNear(i)[:w.out.nearby])
	}
}

// measure sets the limit by how long the tasks of the last batch took. The clock is read
// only while there is more than one task to take.
func (b *batch) measure(again bool) {
	if !again {
		b.began = time.Time{}
		return
	}
	now := time.Now()
	if !b.began.IsZero() {
		each := max(now.Sub(b.began)/time.Duration(b.n), 1)
		b.limit = int(min(max(batchTime/each, 1), maxBatch, time.Duration(2*b.limit)))
	}
	b.began = now
}

// unshare leaves those who share. The batch is empty.
func (w *worker) unshare() {
	if w.batch.shared {
		w.batch.shared = false
		unset(w.mem.ctl.sharing[:], w.index)
	}
}

// steal takes a task over that another worker has in its batch and has not begun, the last of
// several. It reports whether there was one; it is claimed like any other.
func (w *worker) steal() bool {
	i, ok := w.mem.shared(w.index)
	if ok {
		w.batch.slots[0], w.batch.next, w.batch.n, w.batch.began = i, 0, 1, time.Time{}
		telemetry.Raise(&w.diary.desk.Stolen, 1)
	}
	return ok
}

// shared returns a task that waits in the batch of any worker but that one; -1 is none.
func (m *memory) shared(but int) (slot uint32, ok bool) {
	for w := range (len(m.workers) + 63) / 64 {
		for them := m.ctl.sharing[w].Load(); them != 0; them &= them - 1 { // pairs with the Or in show
			k := w*64 + bits.TrailingZeros64(them)
			if k == but || k >= len(m.workers) { // only a broken worker sets such a bit
				continue
			}
			if slot, ok = m.waiting(&m.workers[k]); ok {
				return slot, true
			}
		}
	}
	return 0, false
}

// waiting returns the last task of a batch that nobody has claimed.
func (m *memory) waiting(area *workerArea) (slot uint32, ok bool) {
	for k := maxBatch - 1; k > 0; k-- {
		i := area.batch[k].Load() - 1 // pairs with the stores in show and pop
		if i < uint64(len(m.slots)) && word(m.slots[i].word.Load()).state() == queued {
			return uint32(i), true
		}
	}
	return 0, false
}
