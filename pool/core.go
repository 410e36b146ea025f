package pool

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/shmkit/shmkit/shm"
)

// A core is a block as one handle has it.
type core struct {
	keeper keeper
	block  shm.Block // changes only while the core is moved
	size   int64     // bytes that were asked for
	state  atomic.Uint32
	shared *frozenBlock // of a frozen one, in the parent
	own    bool         // in a worker: allocated there
}

// A keeper is the process in which a core is: the parent, or a worker.
type keeper interface {
	view(c *core) ([]byte, error)
	release(c *core)
	freeze(c *core) *core
}

// The states of a core. Only a held one may be used.
const (
	coreHeld uint32 = iota
	coreMoved
	coreReleased
	coreFrozen
	coreExpired // its task has ended
)

var coreStates = [...]string{"is held", "was handed to a task", "was released", "was frozen", "belonged to a task that has ended"}

// check panics unless the core may be used.
func (c *core) check(what, kind string) {
	if s := c.state.Load(); s != coreHeld {
		panic(fmt.Sprintf("pool: %s of a %s of %d bytes that %s", what, kind, c.size, coreStates[s]))
	}
}

// unavailable is why a core cannot be handed over.
func (c *core) unavailable() error {
	return fmt.Errorf("the block of %d bytes %s", c.size, coreStates[c.state.Load()])
}

// become takes a held core to another state, and panics if somebody else was faster.
func (c *core) become(what, kind string, state uint32) {
	if !c.state.CompareAndSwap(coreHeld, state) {
		c.check(what, kind)
	}
}

// A frozenBlock is what the parent knows of a block that was frozen. Guarded by Pool.mu.
type frozenBlock struct {
	block   shm.Block
	readers int // handles, and tasks
}

// newCore allocates a block for the program.
func (p *Pool) newCore(ctx context.Context, size int64) (*core, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.users.Done()
	b, zero, err := p.allocate(ctx, size)
	if err != nil {
		return nil, err
	}
	return p.keep(b, size, zero), nil
}

// keep makes a core of a block that the parent has allocated.
func (p *Pool) keep(b shm.Block, size int64, zero bool) *core {
	if !zero {
		clear(p.store.Bytes(b)[:size])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocks++
	return &core{keeper: p, block: b, size: size}
}

func (p *Pool) view(c *core) ([]byte, error) { return p.store.view(c.block, c.size, false) }

func (p *Pool) release(c *core) {
	if c.shared == nil {
		p.store.Free(c.block) // not under the lock: a large one takes a while
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.shared == nil {
		p.gotFree()
		p.letGo()
		return
	}
	p.unread(c.shared)
}

func (p *Pool) freeze(c *core) *core {
	b, ok := p.store.Freeze(c.block)
	if !ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.corrupted("block at %d was changed by somebody who does not hold it", c.block.Off)
		b = c.block
	}
	return &core{keeper: p, block: b, size: c.size, shared: &frozenBlock{block: b, readers: 1}}
}

// unread takes a reader from a frozen block, and frees it with its last. The caller holds mu.
func (p *Pool) unread(f *frozenBlock) {
	if f.readers--; f.readers == 0 {
		p.free(f.block)
		p.letGo()
	}
}

// letGo counts a block that the program no longer holds. With the last one goes the memory of a pool that
// has ended. The caller holds mu.
func (p *Pool) letGo() {
	p.blocks--
	p.unmap()
}

// unmap takes the memory away once nothing needs it any more. The caller holds mu.
func (p *Pool) unmap() {
	if p.phase != gone || !p.unused {
		return
	}
	if p.blocks > 0 {
		p.store.TrimAll()
		return
	}
	p.seg.Close()
}
