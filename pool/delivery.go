package pool

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

// A delivery is what a result refers to, on the parent's side, where it belongs to the parent. It implements codec.Taker.
type delivery struct {
	items   []item
	goods   *goods
	cleanup runtime.Cleanup
}

// An item is one reference: a block's core, or the bytes of a lent one.
type item struct {
	core *core
	lent shm.Block // until it is copied
	data []byte
}

// goods are the blocks of a delivery that nobody has taken yet. When nobody can take them any more they are freed.
type goods struct {
	home  *estate
	cores []*core // nil once they were taken

	forgettable bool // and counted as such
}

// receive takes over what a result refers to: it was in slot i, src is the table and the value. Nothing of what the worker has
// written is believed. The caller holds mu.
func (p *Pool) receive(i uint32, m *member, src []byte) (d *delivery, body []byte, err error) {
	refs, body, err := getTable(src)
	if err != nil {
		return nil, nil, err
	}
	if len(refs) == 0 {
		return nil, body, nil
	}
	d = &delivery{goods: &goods{home: p.home}}
	for _, r := range refs {
		it, err := p.takeOver(i, m, r)
		if err != nil {
			d.discard()
			return nil, nil, err
		}
		d.items = append(d.items, it)
		if it.core != nil {
			d.goods.cores = append(d.goods.cores, it.core)
		}
	}
	return d, body, nil
}

var errNotHeld = errors.New("the worker returned a block that its task did not hold")

// takeOver takes one block over.
func (p *Pool) takeOver(i uint32, m *member, r ref) (it item, err error) {
	b, size := r.block()
	if size < 0 || size > b.Cap || b.Cap == 0 { // there is no block without capacity
		return it, errNotHeld
	}
	if f := p.entries[i].cargo.reads(b.Off); f != nil && r.kind == refFrozen {
		if size > f.block.Cap {
			return it, errNotHeld
		}
		f.readers++
		it.core = &core{keeper: p.home, block: f.block, size: size, shared: f}
		return it, nil
	}
	b, err = p.store.Find(b.Off, b.Cap, b.Word)
	if err != nil || b.Holder() != workerHolder(m.incarnation) && b.Holder() != taskHolder(i) || b.Frozen() != (r.kind == refFrozen) {
		return it, errNotHeld
	}
	b, ok := p.store.Give(b, parentHolder)
	if !ok {
		return it, errNotHeld
	}
	switch r.kind {
	case refLent:
		it.lent, it.data = b, p.store.Bytes(b)[:size]
		return it, nil
	case refBlock:
		it.core = &core{keeper: p.home, block: b, size: size}
	case refFrozen:
		it.core = &core{keeper: p.home, block: b, size: size, shared: &frozenBlock{home: p.home, block: b, readers: 1}}
	default:
		p.home.free(b)
		return it, errNotHeld
	}
	p.home.blocks++
	return it, nil
}

// reads returns the frozen block at off that the task was given, or nil.
func (c *cargo) reads(off int64) *frozenBlock {
	if c == nil {
		return nil
	}
	for _, f := range c.frozen {
		if f.block.Off == off {
			return f
		}
	}
	return nil
}

// lent is how many bytes are to be copied.
func (d *delivery) lent() (n int) {
	if d != nil {
		for _, it := range d.items {
			n += len(it.data)
		}
	}
	return n
}

// mayBeForgotten has the blocks freed when the garbage collector finds that nobody can take them any more.
func (d *delivery) mayBeForgotten() {
	if d == nil || d.goods.cores == nil {
		return
	}
	d.goods.forgettable = true
	d.goods.home.owner.forgettable.Add(1)
	d.cleanup = runtime.AddCleanup(d, func(g *goods) {
		p := g.home.owner
		p.mu.Lock()
		defer p.mu.Unlock()
		g.drop()
	}, d.goods)
}

// copyLent copies what was lent. The memory stays mapped meanwhile.
func (d *delivery) copyLent() {
	if d == nil {
		return
	}
	for k := range d.items {
		if it := &d.items[k]; it.data != nil {
			it.data = layout.Clone(it.data)
		}
	}
}

// freeLent gives back what was copied. The caller holds mu.
func (d *delivery) freeLent() {
	for k := range d.items {
		if it := &d.items[k]; it.lent.Cap > 0 {
			d.goods.home.free(it.lent)
			it.lent = shm.Block{}
		}
	}
}

// discard frees what nobody wants. The caller holds mu.
func (d *delivery) discard() {
	if d != nil {
		d.cleanup.Stop()
		d.freeLent()
		d.goods.drop()
	}
}

// drop frees the blocks. The caller holds mu.
func (g *goods) drop() {
	for _, c := range g.cores {
		c.state.Store(coreReleased)
		if c.shared != nil {
			g.home.unread(c.shared)
			continue
		}
		g.home.free(c.block)
		g.home.letGo()
	}
	g.forget()
}

// forget says that nothing is left to be taken. The caller holds mu.
func (g *goods) forget() {
	g.cores = nil
	if g.forgettable {
		g.forgettable = false
		g.home.owner.forgettable.Add(-1)
	}
}

// taken says that the program has the handles now, unless err says why it has not.
func (d *delivery) taken(err error) {
	d.cleanup.Stop()
	p := d.goods.home.owner
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		d.goods.cores = nil
		for _, it := range d.items {
			if it.core != nil { // the value does not mention it
				d.goods.cores = append(d.goods.cores, it.core)
			}
		}
	}
	d.goods.drop()
}

// discard frees what a result that nobody will wait for refers to. The caller holds mu.
func (f *Future[Out]) discard() {
	if f.finished() && f.more != nil && f.more.refs != nil {
		f.more.refs.discard()
		f.more.refs, f.more.raw = nil, nil
		f.more.err = context.Canceled
	}
}

// reclaim frees the blocks in an argument that a Map was given and that no task has.
func (f *Function[In, Out]) reclaim(in In) { f.in.EachHandle(&in, abandonHandle) }

// unseen frees the blocks of an item that ended with its Map's context before the consumer saw it. Items with blocks travel one by
// one.
func (f *Function[In, Out]) unseen(c *chunk[In, Out], outs []Out) {
	for _, out := range outs {
		f.out.EachHandle(&out, func(h any) { h.(handle).Release() })
	}
	if len(c.in) == 1 {
		f.reclaim(c.in[0])
	}
}

// abandonHandle releases a block, if it is held.
func abandonHandle(h any) {
	b, ok := h.(handle)
	if !ok || b.frozen() {
		return
	}
	if c := b.inner(); c != nil && c.state.CompareAndSwap(coreHeld, coreReleased) {
		c.keeper.release(c)
	}
}

func (d *delivery) Take(k uint64, t reflect.Type) (any, error) {
	if d == nil || k >= uint64(len(d.items)) || d.items[k].core == nil {
		return nil, errNotHeld
	}
	h := newHandle(t)
	c := d.items[k].core
	if h.frozen() != (c.shared != nil) || c.size%int64(h.elem().Size()) != 0 {
		return nil, fmt.Errorf("a block of %d bytes, frozen: %t, as a %v", c.size, c.shared != nil, t)
	}
	h.adopt(c)
	d.items[k].core = nil // once
	return h, nil
}

func (d *delivery) Borrow(k uint64) ([]byte, error) {
	if d == nil || k >= uint64(len(d.items)) || d.items[k].data == nil {
		return nil, errNotHeld
	}
	return d.items[k].data, nil
}
