package ring

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// record is what the model knows of one record: all else follows from its number.
type record struct {
	seq  uint64
	size int
}

// spscModel runs a ring beside a queue of records that is split in three: peeked but
// not released, published, reserved.
type spscModel struct {
	mem      []byte
	p        *Producer
	c        *Consumer
	seq      uint64
	peeked   []record
	held     [][]byte // the slices that Peek returned for peeked
	ready    []record
	reserved []record
}

func (m *spscModel) Reserve(t *rapid.T) {
	limit := m.p.MaxRecord()
	n := rapid.OneOf(rapid.Just(8), rapid.Just(16), rapid.IntRange(0, limit)).Draw(t, "size")
	n = min(n, limit)
	if reserve(t, m.p, n, m.seq) {
		m.reserved = append(m.reserved, record{m.seq, n})
		m.seq++
		return
	}
	need := 8 + (n+7)/8*8
	used := int(m.p.base + uint64(m.p.at) - m.c.control.head.Load())
	require.Greater(t, used+need+need-8+8, len(m.p.data), "it would have fitted, padding included")
}

func (m *spscModel) ReserveRun(t *rapid.T) {
	size := 8 * rapid.IntRange(1, 3).Draw(t, "size")
	most := m.p.MaxRecord() / size
	if most == 0 {
		return
	}
	count := rapid.IntRange(1, most).Draw(t, "count")
	b, ok, err := m.p.ReserveRun(count, size)
	require.NoError(t, err)
	if !ok {
		return // Reserve checks when this may be
	}
	require.Len(t, b, count*size)
	for ; len(b) > 0; b = b[size:] {
		fill(b[:size], m.seq)
		m.reserved = append(m.reserved, record{m.seq, size})
		m.seq++
	}
}

// TryPut publishes what was reserved before it, too.
func (m *spscModel) TryPut(t *rapid.T) {
	b := make([]byte, rapid.IntRange(0, m.p.MaxRecord()).Draw(t, "size"))
	fill(b, m.seq)
	ok, err := m.p.TryPut(b)
	require.NoError(t, err)
	if !ok {
		return // Reserve checks when this may be
	}
	m.reserved = append(m.reserved, record{m.seq, len(b)})
	m.seq++
	m.publish()
}

func (m *spscModel) Commit(*rapid.T) {
	m.p.Commit()
	m.publish()
}

func (m *spscModel) publish() {
	m.ready = append(m.ready, m.reserved...)
	m.reserved = nil
}

func (m *spscModel) Peek(t *rapid.T) {
	b, ok, err := m.c.Peek()
	require.NoError(t, err)
	require.Equal(t, len(m.ready) > 0, ok, "a record is there exactly if it was published")
	if ok {
		m.got(t, b)
	}
}

func (m *spscModel) PeekRun(t *rapid.T) {
	b, size, ok, err := m.c.PeekRun()
	require.NoError(t, err)
	require.Equal(t, len(m.ready) > 0, ok, "a record is there exactly if it was published")
	for ok {
		m.got(t, b[:size:size])
		b = b[size:]
		ok = len(b) > 0
	}
}

// got takes b for the next published record.
func (m *spscModel) got(t *rapid.T, b []byte) {
	require.NotEmpty(t, m.ready, "no more than was published")
	require.NoError(t, check(b, m.ready[0].size, m.ready[0].seq))
	m.peeked, m.ready = append(m.peeked, m.ready[0]), m.ready[1:]
	m.held = append(m.held, b)
}

func (m *spscModel) Release(*rapid.T) {
	m.c.Release()
	m.peeked, m.held = nil, nil
}

// NewProducer stands for a death at any instruction: the last store of a Commit is the
// one of the word at tail, so until then everything behind that word may hold anything.
func (m *spscModel) NewProducer(t *rapid.T) {
	junk := byte(rapid.IntRange(0, 255).Draw(t, "junk"))
	end := m.c.control.head.Load() + uint64(len(m.p.data))
	for pos := m.p.tail() + wordSize; pos != end; pos++ {
		_, off := m.p.split(pos)
		m.p.data[off] = junk
	}
	var err error
	m.p, err = AttachProducer(m.mem)
	require.NoError(t, err)
	m.reserved = nil
}

func (m *spscModel) NewConsumer(t *rapid.T) {
	var err error
	m.c, err = AttachConsumer(m.mem)
	require.NoError(t, err)
	m.ready = append(m.peeked, m.ready...)
	m.peeked, m.held = nil, nil
}

// HalfRelease stands for a death between the two stores of Release: all is released
// but what was peeked of the run that is not yet finished.
func (m *spscModel) HalfRelease(t *rapid.T) {
	if m.c.at == m.c.end {
		return
	}
	m.c.control.head.Store(m.c.run)
	kept := int(m.c.base+uint64(m.c.at)-m.c.run-wordSize) / m.c.size
	m.peeked = m.peeked[max(len(m.peeked)-kept, 0):]
	m.NewConsumer(t)
}

// Check runs after each step: what was peeked stays as it is until it is released.
func (m *spscModel) Check(t *rapid.T) {
	for i, b := range m.held {
		require.NoError(t, check(b, m.peeked[i].size, m.peeked[i].seq))
	}
}

func TestSPSCModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &spscModel{}
		capacity := rapid.SampledFrom([]int{32, 64, 128, 256}).Draw(t, "capacity")
		seed := rapid.SampledFrom(seeds).Draw(t, "seed")
		m.mem, m.p, m.c = newSPSC(t, capacity, seed)
		t.Repeat(rapid.StateMachineActions(m))
	})
}
