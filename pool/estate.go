package pool

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

// An estate is the shared memory of a pool, and what the parent needs to use it. A pool whose memory cannot be trusted any more gets
// another. The old one stays mapped as long as the program has blocks in it.
type estate struct {
	owner *Pool
	seg   *shm.Segment
	mem   *memory
	store *store
	crowd crowd
	bell  bell

	constants []byte // what lies in the headers, the table of functions and the initialisers

	// Guarded by Pool.mu.
	blocks int  // that the program holds
	pins   int  // who else needs the mapping
	left   bool // the pool does not need it any more
}

// newEstate makes the memory of a pool.
func newEstate(o Options) (*estate, error) {
	table, init := encodeTable(), encodeBoth(o.Init, o.OnExit)
	page, err := o.HugePages.size()
	if err != nil {
		return nil, err
	}
	g := geometry{slots: o.Queue, workers: o.MaxWorkers, functions: len(registry.defs), table: len(table), init: len(init), memory: o.Memory, page: page}
	seg, err := o.HugePages.make(o.Name, g.offsets().total)
	if err != nil {
		return nil, err
	}
	h, err := furnish(seg, g, table, init)
	if err != nil {
		return nil, errors.Join(err, seg.Close())
	}
	return h, nil
}

// furnish writes into a segment what workers are to find there.
func furnish(seg *shm.Segment, g geometry, table, init []byte) (*estate, error) {
	for _, part := range g.common() {
		if err := seg.Reserve(part.off, part.n); err != nil {
			return nil, err
		}
	}
	m, err := view(seg.Bytes(), g)
	if err != nil {
		return nil, err
	}
	copy(m.table(), table)
	copy(m.init(), init)
	st, err := makeStore(seg, m)
	if err != nil {
		return nil, err
	}
	if err := layout.Init(seg.Bytes(), layout.KindPool, g.params()...); err != nil {
		return nil, err
	}
	h := &estate{seg: seg, mem: m, store: st, crowd: m.crowd(), bell: m.bell()}
	h.constants = slices.Concat(m.constants()...)
	return h, nil
}

// intact reports whether nobody has written where nobody should, which would keep workers from starting.
func (h *estate) intact() bool {
	at := 0
	for _, part := range h.mem.constants() {
		if !bytes.Equal(part, h.constants[at:at+len(part)]) {
			return false
		}
		at += len(part)
	}
	return true
}

// occupy makes h the pool's memory. The caller holds mu.
func (p *Pool) occupy(h *estate) {
	h.owner = p
	p.home, p.mem, p.store, p.crowd = h, h.mem, h.store, h.crowd
}

// reserve makes sure that there is memory for the place of one more worker.
func (h *estate) reserve(place int) error {
	for _, part := range h.mem.geo.own(place) {
		if err := h.seg.Reserve(part.off, part.n); err != nil {
			return err
		}
	}
	return nil
}

// leave says that the pool does not need the memory any more. The caller holds Pool.mu.
func (h *estate) leave() {
	h.left = true
	h.unmap()
}

// pin and unpin are for those who need the mapping while another may take its place. Their caller holds Pool.mu.
func (h *estate) pin() { h.pins++ }

func (h *estate) unpin() {
	h.pins--
	h.unmap()
}

// letGo counts a block that the program no longer holds. The caller holds Pool.mu.
func (h *estate) letGo() {
	h.blocks--
	h.unmap()
}

// unmap takes the memory away once nobody needs it. The caller holds Pool.mu.
func (h *estate) unmap() {
	switch {
	case !h.left || h.pins > 0:
	case h.blocks > 0:
		h.store.TrimAll()
	default:
		_ = h.seg.Close() // there is nothing to be done about it
	}
}

// free gives a block back. Nothing happens to one that was changed by another process: a worker that was just about to free it
// itself, or one that writes where it must not. The caller holds Pool.mu.
func (h *estate) free(b shm.Block) {
	h.store.Free(b)
	h.owner.gotFree()
}

// An estate is the keeper of the blocks that the program holds.

func (h *estate) view(c *core) ([]byte, error) { return h.store.view(c.block, c.size, false) }

func (h *estate) release(c *core) {
	p := h.owner
	if c.shared == nil {
		h.store.Free(c.block) // not under the lock: a large one takes a while
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.shared == nil {
		p.gotFree()
		h.letGo()
		return
	}
	h.unread(c.shared)
}

func (h *estate) freeze(c *core) *core {
	b, ok := h.store.Freeze(c.block)
	if !ok {
		p := h.owner
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.home == h {
			p.corrupted("block at %d was changed by somebody who does not hold it", c.block.Off)
		}
		b = c.block
	}
	return &core{keeper: h, block: b, size: c.size, shared: &frozenBlock{home: h, block: b, readers: 1}}
}

// unread takes a reader from a frozen block, and frees it with its last. The caller holds Pool.mu.
func (h *estate) unread(f *frozenBlock) {
	if f.readers--; f.readers == 0 {
		h.free(f.block)
		h.letGo()
	}
}

// enter keeps the memory where it is, and the pool from ending, until leave. It waits while the pool gets another memory, and fails
// if it accepts no tasks.
func (p *Pool) enter(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if err := p.accepting(); err != nil {
			return err
		}
		if p.moving == nil {
			p.inside++
			return nil
		}
		if err := p.awaitMove(ctx); err != nil {
			return err
		}
	}
}

// tryEnter is enter for those who do not wait.
func (p *Pool) tryEnter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moving != nil || p.accepting() != nil {
		return false
	}
	p.inside++
	return true
}

// exit is the reverse, so many times.
func (p *Pool) exit(n int) {
	if n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exitLocked(n)
}

func (p *Pool) exitLocked(n int) {
	if p.inside -= n; p.inside == 0 {
		p.outside.Broadcast()
	}
}
