package pool

import (
	"github.com/shmkit/shmkit/shm"

	"github.com/shmkit/shmkit/internal/telemetry"
)

// abandon ends what is in flight. Nothing is sent afterwards.
func (m *mapping[In, Out]) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped.Store(true)
	for _, c := range m.chunks {
		if c.sent && c.err == nil && c.fut == nil {
			m.p.abandon(&c.part.promise, m.ctx.Err())
		}
	}
	for _, c := range m.chunks {
		if c.fut != nil {
			m.p.abandon(&c.fut.promise, m.ctx.Err())
		}
	}
}

// stop ends the mapping and gives its memory back.
func (m *mapping[In, Out]) stop() {
	m.cancel()
	m.unwatch()
	m.abandon()
	m.mu.Lock()
	m.settle() // what chunks leave over is not sent again
	chunks, blocks := m.chunks, m.blocks
	m.blocks, m.chunks = nil, nil
	m.mu.Unlock()
	for _, c := range chunks {
		if c.owned && m.isNewest(c.home) {
			blocks = append(blocks, c.block)
		}
		if !c.sent {
			m.forgo(c, telemetry.Cancelled)
		}
		m.drop(c)
	}
	m.giveUp(blocks)
}

// forgo counts, by what they have come to, those items of a chunk that is not sent which were accepted with another.
func (m *mapping[In, Out]) forgo(c *chunk[In, Out], end telemetry.Count) {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	m.p.tallies.Add(end, uint64(len(c.in)-c.fresh))
}

// drop ends a chunk whose result nobody will see. What it was given by reference, or refers to, is freed.
func (m *mapping[In, Out]) drop(c *chunk[In, Out]) {
	if c.fut != nil {
		m.p.abandon(&c.fut.promise, m.ctx.Err())
		m.p.mu.Lock()
		c.fut.discard()
		m.p.mu.Unlock()
	}
	if !m.chunked {
		m.f.reclaim(c.in[0])
	}
}

// giveUp frees the memory of chunks, and needs none any more.
func (m *mapping[In, Out]) giveUp(blocks []shm.Block) {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	for _, b := range blocks {
		if m.p.phase != gone && m.isNewest(m.p.home) {
			m.p.freeArgument(b)
		}
	}
	for _, h := range m.homes {
		h.unpin()
	}
}
