package pool

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// chunkTarget is how long a chunk should take: long beside what it costs to hand it over, short
// beside what a human notices.
const chunkTarget = 200 * time.Microsecond

// errNoSlot says that all slots are taken now.
var errNoSlot = errors.New("no free slot")

// chunkGrowth is how many times larger than a chunk that was measured the next may be.
const chunkGrowth = 8

// send hands out what waits, as far as the limit allows. Feeder and consumer both call it.
func (m *mapping[In, Out]) send() {
	for m.waiting() {
		if m.inFlight.Load() >= m.limit() {
			m.p.mu.Lock()
			found := m.p.reap()
			m.p.mu.Unlock()
			if found == 0 || m.inFlight.Load() >= m.limit() {
				return
			}
		}
		i, err := m.p.slotFor(m.ctx, m.inFlight.Load() == 0)
		if errors.Is(err, errNoSlot) {
			return
		}
		m.mu.Lock()
		m.sendFirst(i, err)
		m.mu.Unlock()
	}
}

// start sends the item in b as a task like any other, for values that cannot travel by the chunk.
func (m *mapping[In, Out]) start(b *buffer[In]) {
	c := &chunk[In, Out]{first: b.first, in: b.in, sent: true}
	c.fut, c.err = m.f.Go(m.ctx, m.p, b.in[0])
	m.mu.Lock()
	late := m.stopped.Load()
	if !late {
		m.chunks = append(m.chunks, c)
	}
	m.mu.Unlock()
	if late { // stop has not seen it
		m.drop(c)
		return
	}
	m.inFlight.Add(1)
	if c.err != nil {
		m.ended()
		return
	}
	c.fut.whenFinished(m.onEnd)
}

// waiting reports whether there is a chunk to send.
func (m *mapping[In, Out]) waiting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.firstUnsent() != nil
}

// slotFor returns a free slot. If there is none it waits, or fails with errNoSlot.
func (p *Pool) slotFor(ctx context.Context, wait bool) (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !wait && p.accepting() == nil {
		if len(p.freeSlots) == 0 {
			p.reap()
		}
		if len(p.freeSlots) == 0 || p.halted() {
			return 0, errNoSlot
		}
	}
	return p.slot(ctx)
}

// firstUnsent returns the first chunk that was not sent, and settles what comes before it. The
// caller holds mu.
func (m *mapping[In, Out]) firstUnsent() *chunk[In, Out] {
	if m.stopped.Load() {
		return nil
	}
	m.settle()
	for ; m.unsent < len(m.chunks); m.unsent++ {
		if c := m.chunks[m.unsent]; !c.sent {
			return c
		}
	}
	return nil
}

// sendFirst sends the first chunk that waits in slot i, or fails it with err. The caller holds mu.
func (m *mapping[In, Out]) sendFirst(i uint32, err error) {
	c := m.firstUnsent()
	if c == nil {
		if err == nil {
			m.p.mu.Lock()
			_ = m.p.giveBack(i, nil)
			m.p.mu.Unlock()
		}
		return
	}
	c.sent = true
	m.inFlight.Add(1)
	if err == nil {
		m.split(c, int(m.size.Load()))
		err = m.publish(c, i)
	}
	switch err {
	case nil:
	case errMoved: // it is sent again
		c.sent = false
		m.inFlight.Add(-1)
	default:
		if isDone(m.ctx) {
			m.forgo(c, telemetry.Cancelled)
		} else {
			m.forgo(c, telemetry.Failed)
		}
		c.err = err
		m.ended()
	}
}

// giveBack frees a slot that was taken and not used, and returns err. The caller holds mu.
func (p *Pool) giveBack(i uint32, err error) error {
	p.releaseSlot(i)
	p.ended()
	return err
}

// split leaves n items in c if it has many more; the others are a chunk behind it. The caller holds
// mu.
func (m *mapping[In, Out]) split(c *chunk[In, Out], n int) {
	if len(c.in) < 2*n {
		return
	}
	m.insert(c, n, max(c.fresh-n, 0))
	c.in, c.fresh = c.in[:n:n], min(c.fresh, n)
}

// insert makes the items of c from the k-th on a chunk behind it, to be sent. The caller holds mu.
func (m *mapping[In, Out]) insert(c *chunk[In, Out], k, fresh int) {
	at := slices.Index(m.chunks, c) + 1
	m.chunks = slices.Insert(m.chunks, at, &chunk[In, Out]{first: c.first + k, in: c.in[k:], part: part{fresh: fresh}})
	m.unsent = min(m.unsent, at)
}

// publish makes c known to the workers, in slot i. The caller holds mu.
func (m *mapping[In, Out]) publish(c *chunk[In, Out], i uint32) error {
	p := m.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.stillUsable(); err != nil { // since the slot was taken
		return p.giveBack(i, err)
	}
	if err := m.block(c); err != nil { // no memory for chunks: one by one, in the slots
		m.most = 1
		m.size.Store(1)
		m.split(c, 1)
		m.publishAlone(c, i)
		return nil
	}
	p.inside++ // the memory stays mapped
	p.mu.Unlock()
	args, _, err := m.f.chunkAt(p.store.mem, c.block.Off, len(c.in))
	copy(args, c.in)
	p.mu.Lock()
	p.exitLocked(1)
	if err == nil {
		err = p.stillUsable()
	}
	if err != nil {
		p.freeArgument(c.block)
		return p.giveBack(i, err)
	}
	c.n, c.origin, c.limit = len(c.in), &p.origins[m.f.def.id], p.limit(m.f.timeout)
	c.more = &more{part: &c.part, hooks: []func(){m.onEnd}}
	p.publishPart(i, &c.part)
	return nil
}

// publishAlone sends the only item of c as a task like any other. The caller holds both locks.
func (m *mapping[In, Out]) publishAlone(c *chunk[In, Out], i uint32) {
	p := m.p
	c.fut = newFuture[Out](&p.origins[m.f.def.id])
	c.fut.extend().hooks = []func(){m.onEnd}
	m.f.place(context.Background(), p, i, c.fut, c.in[0])
	p.tallies.Add(telemetry.Accepted, uint64(c.fresh)-1) // place has counted it, if not for the first time
}

// block gives c a block of shared memory. The caller holds both locks.
func (m *mapping[In, Out]) block(c *chunk[In, Out]) (err error) {
	n := m.f.chunkSize(len(c.in))
	c.home = m.settled()
	for len(m.blocks) > 0 {
		last := len(m.blocks) - 1
		c.block = m.blocks[last]
		m.blocks = m.blocks[:last]
		if c.block.Cap >= n {
			return nil
		}
		m.p.freeArgument(c.block) // from when chunks were smaller
	}
	c.block, _, err = m.p.store.Alloc(n)
	m.p.arguments += c.block.Cap
	return err
}

// settled returns where blocks for chunks are to be had now. Those that lie elsewhere are used no more. The caller holds both locks.
func (m *mapping[In, Out]) settled() *estate {
	home := m.p.home
	if m.isNewest(home) {
		return home
	}
	m.homes = slices.DeleteFunc(m.homes, func(h *estate) bool {
		if h == m.reading || slices.ContainsFunc(m.chunks, func(c *chunk[In, Out]) bool { return c.home == h }) {
			return false
		}
		h.unpin()
		return true
	})
	home.pin()
	m.homes, m.blocks = append(m.homes, home), nil
	return home
}

// isNewest reports whether blocks of home may be used again. The caller holds mu.
func (m *mapping[In, Out]) isNewest(home *estate) bool {
	return len(m.homes) > 0 && m.homes[len(m.homes)-1] == home
}

// settle looks at chunks that have ended: what they leave over is to be sent again. The caller
// holds mu.
func (m *mapping[In, Out]) settle() {
	for k := 0; k < len(m.chunks); k++ {
		c := m.chunks[k]
		if c.settled || !c.sent {
			continue
		}
		switch {
		case c.err != nil || c.fut != nil && c.fut.finished():
			c.settled = true
		case c.fut == nil && c.part.finished():
			c.settled = true
			m.settlePart(c)
		}
	}
}

func (m *mapping[In, Out]) settlePart(c *chunk[In, Out]) {
	if !c.owned && c.salvage == nil { // the pool has ended, or does not trust its memory
		c.err = c.part.err()
		return
	}
	if c.elapsed > 0 && c.next > 0 {
		m.measure(c.elapsed/time.Duration(c.next), c.n)
	}
	end := c.next
	if c.part.err() != nil {
		end++ // the item that failed
	}
	if end < len(c.in) {
		m.insert(c, end, 0)
		c.in = c.in[:end]
	}
}

// measure sets the size of the next chunks by what an item of a chunk of n took. A longer
// time counts for little, at first: it may be that of a worker that had to wait for a processor.
func (m *mapping[In, Out]) measure(each time.Duration, n int) {
	each = max(each, 1)
	if m.each == 0 || each < m.each {
		m.each = each
	} else {
		m.each += (each - m.each + 3) / 4
	}
	size := min(int64(chunkTarget/m.each), int64(m.most), int64(chunkGrowth*max(n, int(m.size.Load()))))
	m.size.Store(max(size, 1))
}

// results returns the results of a chunk that has ended, up to the first item that has none, and why
// that one has none. They are valid until the next call.
func (m *mapping[In, Out]) results(c *chunk[In, Out]) ([]Out, error) {
	switch {
	case c.err != nil:
		return nil, c.err
	case c.fut != nil:
		out, err := c.fut.Wait(m.ctx)
		if err != nil {
			return nil, err
		}
		m.outs = append(m.outs[:0], out)
		return m.outs, nil
	}
	mem, off := c.home.store.mem, c.block.Off // which the mapping has pinned
	if c.salvage != nil {
		mem, off = c.salvage, 0
	}
	_, results, err := m.f.chunkAt(mem, off, c.n)
	if err != nil {
		return nil, err
	}
	m.outs = slices.Grow(m.outs[:0], c.next)[:c.next]
	if err := m.f.def.result.Accept(layout.SliceBytes(m.outs), layout.SliceBytes(results[:c.next])); err != nil {
		return nil, err
	}
	m.mu.Lock()
	if c.owned && m.isNewest(c.home) {
		m.blocks = append(m.blocks, c.block)
	}
	c.owned = false
	m.mu.Unlock()
	return m.outs, c.part.err()
}
