package ring

import (
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/sys"
)

// What follows is Reserve, Commit, Take and Release of a single slot where nothing stands in the way: the same words in the same order,
// without all that is needed only if something does. Where a claim fails, for whatever reason, the longer way is taken.

// A single is a slot that this participant has claimed.
type single struct {
	at   int // where its memory begins in mem
	word *atomic.Uint64
	next slotWord // what the word becomes when the slot is handed over
}

// reserveOne claims the slot behind those that this participant knows to be claimed, if that is the ring's end, there is known to be
// room, and the slot was a run by itself in the lap before.
func (m *MPMC) reserveOne() (s single, ok bool) {
	pos := m.next.Load()
	if pos-m.space.Load() >= uint64(m.capacity) {
		return single{}, false
	}
	slot, lap := m.slot(pos), m.lap(pos)
	word, was := &m.words[slot], makeSlot(slotDone, (lap-1)&m.lapMask, 0, 1)
	if slotWord(word.Load()) != was || !word.CompareAndSwap(uint64(was), uint64(makeSlot(slotWriting, lap, m.self, 1))) { // as in Reserve
		return single{}, false
	}
	if pos%wordsOfLine == 0 {
		m.prefetch(pos + wordsOfLine)
	}
	sys.ReleaseStore64(&m.next, pos+1) // a private hint: no fence is needed
	if pos%hintStride == hintStride-1 {
		raise(&m.ctl.tail, pos+1)
	}
	if m.Closed() { // as in claimed
		word.Store(uint64(makeSlot(slotDone, lap, 0, 1)))
		m.tellEnd()
		return single{}, false
	}
	return single{slot * m.stride, word, makeSlot(slotFull, lap, 0, 1)}, true
}

// wordsOfLine is how many words of slots a cache line has, mostly.
const wordsOfLine = 8

// prefetch begins to fetch what a put at pos will write, from those who have taken what was there.
func (m *MPMC) prefetch(pos uint64) {
	slot := m.slot(pos)
	sys.PrefetchWrite(&m.words[slot])
	sys.PrefetchWriteBytes(m.mem[slot*m.stride:][:wordSize])
}

// commitOne is Commit of what reserveOne has claimed.
func (m *MPMC) commitOne(s single) {
	sys.PublishStore64(s.word, uint64(s.next)) // as in change; pairs with the loads in take and takeOne
	m.Items().Notify(1)
}

// takeOne claims the item behind those that this participant knows to be claimed, if it is there, was put alone, and is nobody's yet.
func (m *MPMC) takeOne() (s single, ok bool) {
	if m.ctl.returned.Load() != 0 { // pairs with the Add in bury
		return single{}, false
	}
	pos := m.first.Load()
	slot, lap := m.slot(pos), m.lap(pos)
	word, was := &m.words[slot], makeSlot(slotFull, lap, 0, 1)
	if slotWord(word.Load()) != was || !word.CompareAndSwap(uint64(was), uint64(makeSlot(slotReading, lap, m.self, 1))) { // as in claim
		return single{}, false
	}
	sys.ReleaseStore64(&m.first, pos+1) // a private hint: no fence is needed
	if pos%hintStride == hintStride-1 {
		raise(&m.ctl.head, pos+1)
	}
	return single{slot * m.stride, word, makeSlot(slotDone, lap, 0, 1)}, true
}

// releaseOne is Release of what takeOne has claimed.
func (m *MPMC) releaseOne(s single) {
	sys.PublishStore64(s.word, uint64(s.next)) // as in change; pairs with the loads in advance and overSingles
	m.Room().Notify(1)
	if m.Closed() {
		m.tellEnd()
	}
}

// overSingles walks from pos over done runs of one slot each, up to end, as advance does over all.
func (m *MPMC) overSingles(pos, end uint64) uint64 {
	for int64(end-pos) > 0 && slotWord(m.word(pos).Load()) == makeSlot(slotDone, m.lap(pos), 0, 1) { // pairs with the store in releaseOne
		pos++
	}
	return pos
}
