package pool

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"structs"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/shm"
)

// A chunk is several items of a Map in one slot: handing over a task costs more than many
// items take. Arguments and results lie side by side in a block that the parent holds, so
// that the results survive the worker.
//
// The worker raises next behind each result. Whatever ends it early - an error, a panic, its
// death, a wish of the parent's - the items before next have their results, and
// the parent sends those behind it again.

// progress is what a worker says of a chunk that it runs.
type progress struct {
	_       structs.HostLayout
	next    atomic.Uint64 // items that have results; pairs with the loads in Pool.endPart
	elapsed atomic.Uint64 // nanoseconds since the first began, stored at the end
}

// A part is the promise of a chunk.
type part struct {
	promise
	block shm.Block     // of shared memory; the slot's entry has it while the part is in flight
	n     int           // items
	fresh int           // of these, sent for the first time
	limit time.Duration // for each

	// Set when it ends.
	next    int           // items that have results
	elapsed time.Duration // 0: unknown
	owned   bool          // the block is the part's again
	salvage []byte        // a copy of the block, if that cannot be had back yet
}

// part returns the chunk that a promise is, or nil.
func (pr *promise) part() *part {
	if pr.more == nil {
		return nil
	}
	return pr.more.part
}

// items counts the calls that a promise stands for.
func (pr *promise) items() uint64 {
	if t := pr.part(); t != nil {
		return uint64(t.n)
	}
	return 1
}

// hasAll reports whether it is a chunk all of whose items have results: then no other can have failed.
func (pr *promise) hasAll() bool {
	t := pr.part()
	return t != nil && t.next == t.n
}

// publishPart makes the chunk known to the workers, in slot i. Its arguments are written. The
// caller holds mu.
func (p *Pool) publishPart(i uint32, t *part) {
	s := &p.mem.slots[i]
	s.argKind, s.argLen = chunked, uint64(t.n)
	binary.LittleEndian.PutUint64(s.arg[:], uint64(t.block.Off))
	state := p.mem.progress(i)
	state.next.Store(0)
	state.elapsed.Store(0)
	p.entries[i].block, p.entries[i].limit, p.entries[i].retries = t.block, t.limit, 0
	p.tallies.Add(telemetry.Accepted, uint64(t.fresh))
	p.tallies.Add(telemetry.ArgumentBytes, uint64(t.fresh)*t.def.itemArg)
	p.publish(&t.promise, i, nil)
}

// endPart takes over what the worker has done of a chunk, which is least items or more. It reports whether what the worker
// says can be; if not, nothing has happened.
func (p *Pool) endPart(i uint32, t *part, least uint64) bool {
	state := p.mem.progress(i)
	next := state.next.Load()
	if next < least || next > uint64(t.n) {
		return false
	}
	t.next, t.elapsed = int(next), time.Duration(state.elapsed.Load())
	t.owned = true
	p.entries[i].block = shm.Block{}
	p.tallies.Add(telemetry.Succeeded, next)
	p.tallies.Add(telemetry.ResultBytes, next*t.def.itemResult)
	return true
}

// askToYield asks the worker that runs the chunk to end it behind the item that it is at.
func (p *Pool) askToYield(t *part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.finished() || t.n == 1 {
		return
	}
	i := t.id().slot()
	p.order(i, word(p.mem.slots[i].word.Load()), reasonYield)
}

// chunkAlign is where the results of a chunk begin: on a cache line of their own.
const chunkAlign = 64

// chunkBytes bounds the arguments of a chunk, and its results.
const chunkBytes = 128 << 10

// chunks reports whether the function's items can travel by the chunk, and how many in one.
func (f *Function[In, Out]) chunks() (most int, ok bool) {
	in, out := reflect.TypeFor[In]().Size(), reflect.TypeFor[Out]().Size()
	if !f.plain || !f.small || in == 0 || out == 0 || out > nearBytes {
		return 1, false
	}
	return int(chunkBytes / max(in, out)), true
}

// chunkSize is the size of a block for n items.
func (f *Function[In, Out]) chunkSize(n int) int64 {
	return f.resultsAt(n) + int64(n)*int64(reflect.TypeFor[Out]().Size())
}

func (f *Function[In, Out]) resultsAt(n int) int64 {
	return layout.Align(int64(n)*int64(reflect.TypeFor[In]().Size()), chunkAlign)
}

// chunkAt returns the arguments and the results of the chunk of n items at off.
func (f *Function[In, Out]) chunkAt(mem []byte, off int64, n int) (args []In, results []Out, err error) {
	if _, ok := f.chunks(); !ok || off < 0 || n < 0 || n > chunkBytes {
		return nil, nil, fmt.Errorf("chunk of %d items at %d makes no sense", n, off)
	}
	if args, err = layout.Slice[In](mem, off, n); err != nil {
		return nil, nil, err
	}
	results, err = layout.Slice[Out](mem, off+f.resultsAt(n), n)
	return args, results, err
}

// serveChunk implements handler.
func (f *Function[In, Out]) serveChunk(w *worker) error {
	s := w.out.slot
	off, n := binary.LittleEndian.Uint64(s.arg[:]), s.argLen
	args, results, err := f.chunkAt(w.store.mem, int64(off), int(n))
	if err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	w.expose(int64(off), f.chunkSize(len(args)))
	state := w.mem.progress(w.out.index)
	began := time.Now()
	err = f.serveItems(w, args, results, &state.next)
	state.elapsed.Store(uint64(time.Since(began)))
	if err == nil {
		_, err = w.out.room(0)
	}
	return err
}

// stopsBefore reports whether a worker that is told o ends its chunk before item k: it runs one at
// least, so that there is progress however often it is asked to yield.
func (o order) stopsBefore(k int) bool {
	return o.reason() != 0 && (k > 0 || o.reason() != reasonYield)
}

// serveItems runs the function for one item after the other.
func (f *Function[In, Out]) serveItems(w *worker, args []In, results []Out, next *atomic.Uint64) (err error) {
	ctx := w.contexts.begin(w.out.index, w.gen)
	task, fixed := makeOrder(w.out.index, w.gen, 0), f.in.Fixed()
	for k := range args {
		said := order(w.area.cancel.Load()) // pairs with the store in Pool.order
		if said.withReason(0) == task && said.stopsBefore(k) {
			return nil
		}
		if k > 0 { // the first was counted with the chunk
			if w.tasks > 0 && w.ran >= w.tasks || w.area.retire.Load() != 0 { // pairs with the store in Pool.retireWorker
				return nil
			}
			w.ran++
		}
		if fixed.Exact() {
			f.arg = args[k]
		} else if err := fixed.Accept(layout.Bytes(&f.arg), layout.Bytes(&args[k])); err != nil {
			return err
		}
		if results[k], err = f.fn(ctx, f.arg); err != nil {
			return err
		}
		sys.ReleaseStore64(next, uint64(k)+1) // hands the result over; pairs with the load in Pool.endPart
	}
	return nil
}
