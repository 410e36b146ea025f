package pool

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/shm"
)

// Holdings are what the running task of a worker has in shared memory: the blocks that it was given, those that it has made,
// and results in places of their own. It implements codec.Taker for arguments and codec.Giver for results, and is the keeper of its blocks.
type holdings struct {
	w     *worker
	files fileCache

	// used says that there is something to let go of when the task ends. Pairs: holdings.enter and holdings.settle.
	used atomic.Bool

	mu    sync.Mutex // guards what follows: a task may have goroutines
	cores []*core
	lent  []lentBlock
	refs  []ref // of the argument, or of the result while it is placed
}

// A lentBlock is memory that a task fills with a result.
type lentBlock struct {
	block  shm.Block
	data   []byte
	ref    uint64
	placed bool
}

// taskKey is what a task's context says itself by, to those derived from it too.
type taskKey struct{}

var errNoTask = errors.New("no pool is given, and the context is not that of a task")

// runningTask returns the worker that this process is, and the number of the task that ctx is of.
func runningTask(ctx context.Context) (*worker, int, error) {
	tc, ok := ctx.Value(taskKey{}).(taskContext)
	if !ok {
		return nil, 0, errNoTask
	}
	return processContexts.worker, tc.index(), ctx.Err()
}

// enter takes the lock for the task with that number, unless it has ended.
func (h *holdings) enter(task int) error {
	h.mu.Lock()
	h.used.Store(true) // a full fence before the look at running; pairs with settle
	if h.w.contexts.running.Load() != uint64(task)+1 {
		h.mu.Unlock()
		return errors.New("the task has ended")
	}
	return nil
}

// newCore allocates a block for the task.
func (h *holdings) newCore(ctx context.Context, task int, size int64) (*core, error) {
	b, zero, err := h.allocate(ctx, size)
	if err != nil {
		return nil, err
	}
	if !zero {
		clear(h.w.store.Bytes(b)[:size])
	}
	c := &core{keeper: h, block: b, size: size, own: true}
	if err := h.enter(task); err != nil {
		h.w.free(b)
		return nil, err
	}
	defer h.mu.Unlock()
	h.cores = append(h.cores, c)
	return c, nil
}

func (h *holdings) allocate(ctx context.Context, size int64) (shm.Block, bool, error) {
	return h.w.allocate(size, ctx.Err)
}

func (h *holdings) view(c *core) ([]byte, error) {
	return h.w.store.view(c.block, c.size, c.block.Frozen())
}

func (h *holdings) release(c *core) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.block.Frozen() && !c.own { // the parent frees those that it has lent
		h.w.store.hide(c.block.Off, c.block.Cap)
		return
	}
	h.w.free(c.block)
}

func (h *holdings) freeze(c *core) *core {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.w.store.Freeze(c.block)
	if !ok {
		panic(fmt.Sprintf("pool: the block at %d was changed by somebody who does not hold it", c.block.Off))
	}
	f := &core{keeper: h, block: b, size: c.size, own: c.own}
	h.cores = append(h.cores, f)
	return f
}

// begin is for an argument with a table of references. It returns what follows the table.
func (h *holdings) begin(arg []byte) (rest []byte, err error) {
	h.used.Store(true)
	h.refs, rest, err = getTable(arg)
	return rest, err
}

// Take makes a handle of a reference of the argument.
func (h *holdings) Take(k uint64, t reflect.Type) (any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k >= uint64(len(h.refs)) {
		return nil, fmt.Errorf("reference %d of %d", k, len(h.refs))
	}
	r := h.refs[k]
	if r.kind == refFile {
		return h.files.open(shm.FileRef{Pid: int32(r.w[0] >> 32), Fd: int32(uint32(r.w[0])), Dev: r.w[1], Ino: r.w[2], Size: int64(r.w[3])})
	}
	c := &core{keeper: h}
	c.block, c.size = r.block()
	h.w.store.show(c.block.Off, c.block.Cap)
	h.cores = append(h.cores, c)
	to := newHandle(t)
	to.adopt(c)
	return to, nil
}

func (h *holdings) Borrow(uint64) ([]byte, error) { return nil, errors.New("arguments are not lent") }

// prepare is for a result with a table of references.
func (h *holdings) prepare() { h.refs = nil }

// Give hands a block that the task holds to the parent.
func (h *holdings) Give(v any) (uint64, error) {
	b := v.(handle)
	c := b.inner()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case c == nil:
		return 0, errors.New("the block was not made by NewBlock")
	case c.keeper != keeper(h):
		return 0, errors.New("the block belongs to another pool")
	case len(h.refs) == maxRefs:
		return 0, fmt.Errorf("more than %d references", maxRefs)
	case !c.state.CompareAndSwap(coreHeld, coreMoved):
		return 0, fmt.Errorf("the block of %d bytes %s, or is there twice", c.size, coreStates[c.state.Load()])
	}
	kind := refBlock
	if b.frozen() {
		kind = refFrozen
	}
	h.refs = append(h.refs, blockRef(kind, c.block, c.size))
	return uint64(len(h.refs) - 1), nil
}

// Lend recognises a result in a place of its own.
func (h *holdings) Lend(b []byte) (uint64, bool) {
	if !h.used.Load() {
		return 0, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for k := range h.lent {
		l := &h.lent[k]
		if len(b) > len(l.data) || &l.data[0] != &b[0] || len(h.refs) == maxRefs {
			continue
		}
		if !l.placed {
			l.placed, l.ref = true, uint64(len(h.refs))
			h.refs = append(h.refs, blockRef(refLent, l.block, int64(len(l.data))))
		}
		return l.ref, true
	}
	return 0, false
}

// settle lets go of what the task had and did not hand over, after its end and a full fence. delivered says whether its result
// was taken.
func (h *holdings) settle(delivered bool) {
	if !h.used.Load() { // pairs with the store in enter: who comes later finds the task ended
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used.Store(false)
	for _, c := range h.cores {
		was := c.state.Swap(coreExpired)
		if c.own && (was == coreHeld || was == coreMoved && !delivered) {
			h.w.free(c.block)
		} else if was != coreReleased {
			h.w.store.hide(c.block.Off, c.block.Cap)
		}
	}
	for _, l := range h.lent {
		if !l.placed || !delivered {
			h.w.free(l.block)
		} else {
			h.w.store.hide(l.block.Off, l.block.Cap)
		}
	}
	clear(h.cores)
	clear(h.lent)
	h.cores, h.lent, h.refs = h.cores[:0], h.lent[:0], nil
	h.files.trim()
}
