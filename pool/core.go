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
	home    *estate
	block   shm.Block
	readers int // handles, and tasks
}

// newCore allocates a block for the program.
func (p *Pool) newCore(ctx context.Context, size int64) (*core, error) {
	for {
		if err := p.enter(ctx); err != nil {
			return nil, err
		}
		b, zero, err := p.allocate(ctx, size)
		if err == nil {
			return p.keep(b, size, zero), nil
		}
		p.exit(1)
		if err != errMoved {
			return nil, err
		}
	}
}

// keep makes a core of a block that the parent has allocated, which has entered and leaves.
func (p *Pool) keep(b shm.Block, size int64, zero bool) *core {
	if !zero {
		clear(p.store.Bytes(b)[:size])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.home.blocks++
	p.exitLocked(1)
	return &core{keeper: p.home, block: b, size: size}
}
