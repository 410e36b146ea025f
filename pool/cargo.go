package pool

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shmkit/shmkit/shm"
)

// What crosses by reference stands in a table before the value: its length, then for each reference five words.
// The value itself has the reference's index there.
type ref struct {
	kind refKind
	w    [4]uint64 // a block's offset, size, capacity and word; a file's process and descriptor, device, inode and size
}

type refKind uint64

const (
	refBlock  refKind = iota + 1
	refFrozen         // a block that is only read
	refLent           // a result that lies in a block of its own: the receiver copies it
	refFile
)

const (
	refBytes = 5 * 8
	maxRefs  = 1 << 16
)

func tableBytes(refs int) int { return 8 + refs*refBytes }

func blockRef(kind refKind, b shm.Block, size int64) ref {
	return ref{kind, [4]uint64{uint64(b.Off), uint64(size), uint64(b.Cap), b.Word}}
}

// block returns what a reference says of a block; nothing of it was checked.
func (r ref) block() (b shm.Block, size int64) {
	return shm.Block{Off: int64(r.w[0]), Cap: int64(r.w[2]), Word: r.w[3]}, int64(r.w[1])
}

// putTable writes refs to the start of dst and returns what follows.
func putTable(dst []byte, refs []ref) []byte {
	binary.LittleEndian.PutUint64(dst, uint64(len(refs)))
	for k, r := range refs {
		putRef(dst, k, r)
	}
	return dst[tableBytes(len(refs)):]
}

func putRef(dst []byte, k int, r ref) {
	at := dst[tableBytes(k):]
	binary.LittleEndian.PutUint64(at, uint64(r.kind))
	for i, w := range r.w {
		binary.LittleEndian.PutUint64(at[8+8*i:], w)
	}
}

var errTable = errors.New("the table of references is longer than the value")

// getTable reads the table at the start of src, each word once, and returns what follows.
func getTable(src []byte) (refs []ref, rest []byte, err error) {
	if len(src) < 8 {
		return nil, nil, errTable
	}
	n := binary.LittleEndian.Uint64(src)
	if n > maxRefs || tableBytes(int(n)) > len(src) {
		return nil, nil, errTable
	}
	for k := range int(n) {
		at := src[tableBytes(k):]
		r := ref{kind: refKind(binary.LittleEndian.Uint64(at))}
		for i := range r.w {
			r.w[i] = binary.LittleEndian.Uint64(at[8+8*i:])
		}
		refs = append(refs, r)
	}
	return refs, src[tableBytes(int(n)):], nil
}

// An outgoing is the references of one argument, on the parent's side. It implements codec.Giver.
type outgoing struct {
	p     *Pool
	refs  []ref
	cores []*core // of each reference, nil for a file
	cargo cargo
}

// A cargo is the blocks that a task was given. Guarded by Pool.mu.
type cargo struct {
	moved  []*core
	frozen []*frozenBlock
	files  []*shm.File // a file that is garbage is closed: these are not, until the task has ended
}

func (o *outgoing) Give(h any) (uint64, error) {
	if len(o.refs) == maxRefs {
		return 0, fmt.Errorf("more than %d references", maxRefs)
	}
	if f, ok := h.(*shm.File); ok {
		r, err := f.Ref()
		if err != nil {
			return 0, err
		}
		o.cargo.files = append(o.cargo.files, f)
		o.add(nil, ref{refFile, [4]uint64{uint64(uint32(r.Pid))<<32 | uint64(uint32(r.Fd)), r.Dev, r.Ino, uint64(r.Size)}})
		return uint64(len(o.refs) - 1), nil
	}
	b := h.(handle)
	c := b.inner()
	if err := o.mayGive(c, b.frozen()); err != nil {
		return 0, err
	}
	if b.frozen() {
		o.add(c, blockRef(refFrozen, c.block, c.size))
	} else {
		o.add(c, ref{kind: refBlock}) // load says the rest: until then another call may be given the block
	}
	return uint64(len(o.refs) - 1), nil
}

func (o *outgoing) add(c *core, r ref) {
	o.refs = append(o.refs, r)
	o.cores = append(o.cores, c)
}

func (o *outgoing) mayGive(c *core, frozen bool) error {
	switch {
	case c == nil:
		return errors.New("the block was not made by NewBlock")
	case !o.p.owns(c.keeper):
		return errors.New("the block belongs to another pool")
	case c.state.Load() != coreHeld:
		return c.unavailable()
	}
	for _, other := range o.cores {
		if other == c && !frozen {
			return fmt.Errorf("the block of %d bytes is there twice", c.size)
		}
	}
	return nil
}

// Lend lends nothing: a task sees copies of its slices, unless they are in blocks.
func (o *outgoing) Lend([]byte) (uint64, bool) { return 0, false }

// load hands the blocks to the task in slot i, whose argument is in dst, or none of them. The caller holds mu.
func (o *outgoing) load(i uint32, dst []byte) error {
	o.p.entries[i].cargo = &o.cargo
	for k, c := range o.cores {
		if err := o.loadOne(i, k, c, dst); err != nil {
			o.p.takeBack(i)
			return err
		}
	}
	return nil
}

// errLeft says that a block lies in memory that its pool has given up.
var errLeft = errors.New("the block is of a time before the pool got new memory: copy it to a new one")

func (o *outgoing) loadOne(i uint32, k int, c *core, dst []byte) error {
	switch {
	case c == nil: // a file
		return nil
	case c.keeper != keeper(o.p.home):
		return errLeft
	case o.refs[k].kind == refBlock:
		return o.move(i, k, c, dst)
	}
	return o.share(c)
}

// owns reports whether k keeps blocks of this pool.
func (p *Pool) owns(k keeper) bool {
	h, ok := k.(*estate)
	return ok && h.owner == p
}

// move hands one block over: since mayGive another call may have been faster.
func (o *outgoing) move(i uint32, k int, c *core, dst []byte) error {
	if !c.state.CompareAndSwap(coreHeld, coreMoved) {
		return c.unavailable()
	}
	o.p.home.blocks--
	b, ok := o.p.store.Give(c.block, taskHolder(i))
	if !ok {
		o.p.corrupted("block at %d was changed by somebody who does not hold it", c.block.Off)
		return fmt.Errorf("the block of %d bytes was changed by somebody who does not hold it: %w", c.size, ErrCorrupted)
	}
	c.block = b
	o.cargo.moved = append(o.cargo.moved, c)
	putRef(dst, k, blockRef(refBlock, b, c.size))
	return nil
}

// share makes the task a reader of a frozen block. Whoever releases its handle from now on waits for mu, and leaves the block
// to the task.
func (o *outgoing) share(c *core) error {
	if c.state.Load() != coreHeld {
		return c.unavailable()
	}
	c.shared.readers++
	o.cargo.frozen = append(o.cargo.frozen, c.shared)
	return nil
}

// takeBack returns the blocks of a task that never ran to those who gave them. The caller holds mu.
func (p *Pool) takeBack(i uint32) {
	e := &p.entries[i]
	if e.cargo == nil {
		return
	}
	for _, c := range e.cargo.moved {
		if b, ok := p.store.Give(c.block, parentHolder); ok {
			c.block = b
			p.home.blocks++
			c.state.Store(coreHeld)
		}
	}
	e.cargo.moved = nil
	p.unload(i)
}

// withdraw returns the blocks of a task that waits, and keeps workers from it. The slot stays taken. The caller holds mu.
func (p *Pool) withdraw(i uint32) {
	gen := p.entries[i].gen
	if p.mem.slots[i].word.CompareAndSwap(uint64(makeWord(queued, 0, gen)), uint64(makeWord(free, 0, gen))) {
		p.takeBack(i)
	}
}

// unload frees the blocks of a task that has run, those aside that it has returned. It returns how many. The
// caller holds mu.
func (p *Pool) unload(i uint32) (freed int) {
	e := &p.entries[i]
	if e.cargo == nil {
		return 0
	}
	for _, c := range e.cargo.moved {
		c.state.Store(coreExpired)
		if b, err := p.store.Look(c.block.Off, c.block.Cap); err == nil && b.Holder() == taskHolder(i) { // else its worker has freed it
			p.home.free(b)
			freed++
		}
	}
	for _, f := range e.cargo.frozen {
		f.home.unread(f)
	}
	e.cargo = nil
	return freed
}

// returnCargo ends what tasks that the pool has dropped were given: those that never ran give it back. All
// workers are dead. The caller holds mu.
func (p *Pool) returnCargo() {
	for i := range p.entries {
		if !p.entries[i].live {
			continue
		}
		if word(p.mem.slots[i].word.Load()).state() == queued {
			p.takeBack(uint32(i))
		}
		p.unload(uint32(i))
	}
}
