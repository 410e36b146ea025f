package ring

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/sys"
)

// hintStride is how far own positions go before the shared hint is raised: a locked operation for so many items. Who comes behind
// walks that much further at most.
const hintStride = 16

// Reserve claims up to n slots, at least 1, that the caller fills and then publishes with Commit. ok is false if the ring is full. A
// run has no more than 64 slots. The error is [ErrClosed] or [ErrCorrupted]. It panics if n is not positive.
//
// Nobody takes what is behind the run before it is committed.
func (m *MPMC) Reserve(n int) (r Run, ok bool, err error) {
	if n < 1 {
		panic(fmt.Sprintf("ring: reserve %d slots", n))
	}
	if m.Closed() {
		return Run{}, false, ErrClosed
	}
	n = min(n, maxRun)
	for {
		pos, w, err := m.end()
		if err != nil {
			return Run{}, false, fmt.Errorf("reserve slots: %w", err)
		}
		k, again, err := m.vacant(pos, n)
		switch {
		case err != nil:
			return Run{}, false, fmt.Errorf("reserve slots: %w", err)
		case again:
			continue
		case k == 0:
			return Run{}, false, nil
		}
		// The run is this participant's: killed from here on, it is skipped when it is met. Pairs with the loads
		// in end, Take and bury.
		if m.word(pos).CompareAndSwap(uint64(w), uint64(makeSlot(slotWriting, m.lap(pos), m.self, k))) {
			return m.claimed(Run{pos, k})
		}
	}
}

// end walks to the first position that nobody has claimed, and returns what its word holds.
func (m *MPMC) end() (pos uint64, w slotWord, err error) {
	pos = m.next.Load()
	for steps := 1; ; steps++ {
		w = slotWord(m.word(pos).Load()) // pairs with the compare-and-swaps in Reserve and reserveOne
		switch age := m.age(pos, w); {
		case age > 0:
			return pos, w, nil
		case age == 0 && steps%hintStride != 0:
			pos += uint64(w.run())
		default: // behind, by far or by a lap
			tail := m.ctl.tail.Load()
			if int64(tail-pos) > 0 {
				pos = tail
			} else if age < 0 {
				return 0, 0, fmt.Errorf("position %#x is said to be old, and the hint is %#x: %w", pos, tail, ErrCorrupted)
			} else {
				pos += uint64(w.run())
			}
		}
	}
}

// vacant returns how many slots, up to n, can be claimed at pos, where the ring has ended. again says that it
// does not end there any more.
func (m *MPMC) vacant(pos uint64, n int) (k int, again bool, err error) {
	capacity := uint64(m.capacity)
	if used := pos - m.space.Load(); used <= capacity && capacity-used >= uint64(n) {
		return n, false, nil
	}
	free, blocker, err := m.advance()
	if err != nil {
		return 0, false, err
	}
	used := pos - free
	switch {
	case int64(used) < 0: // pos has been taken, and done, since
		tail := m.ctl.tail.Load()
		if int64(tail-free) < 0 { // advance raises it first
			return 0, false, fmt.Errorf("tail %#x is before free, %#x: %w", tail, free, ErrCorrupted)
		}
		m.next.Store(tail)
		return 0, true, nil
	case used > capacity:
		return 0, false, fmt.Errorf("%d items of %d: %w", used, m.capacity, ErrCorrupted)
	case used == capacity && m.blocked(blocker):
		return 0, true, nil
	}
	return min(n, int(capacity-used)), false, nil
}

// advance raises free over what is done. It returns where it stands, and the word that stopped it.
func (m *MPMC) advance() (free uint64, stop slotWord, err error) {
	from := m.ctl.free.Load()
	free = from
	for {
		if m.estate.passed == nil {
			free = m.overSingles(free, from+uint64(m.capacity))
		}
		stop = slotWord(m.word(free).Load()) // pairs with the stores in change and releaseOne
		age := m.age(free, stop)
		if age < 0 { // another has raised it since
			if now := m.ctl.free.Load(); now != from {
				from, free = now, now
				continue
			}
			return 0, 0, fmt.Errorf("what is free from %#x on is %v: %w", free, stop, ErrCorrupted)
		}
		if age > 0 || stop.state() != slotDone || free-from >= uint64(m.capacity) {
			break
		}
		r := Run{free, stop.run()}
		if m.estate.passed != nil {
			m.estate.passed(r, func() bool { return m.ctl.free.Load() == from })
		}
		free += uint64(r.n)
	}
	if free != from {
		// In this order: who is a lap late looks for its way at tail or head, and must not find it behind free.
		raise(&m.ctl.tail, free)
		raise(&m.ctl.head, free)
		raise(&m.ctl.free, free)
	}
	sys.ReleaseStore64(&m.space, free) // a private hint: no fence is needed
	return free, stop, nil
}

// claimed says what a successful claim of r brings with it.
func (m *MPMC) claimed(r Run) (Run, bool, error) {
	sys.ReleaseStore64(&m.next, r.end()) // a private hint: no fence is needed
	m.pass(&m.ctl.tail, r)
	if r.n > 1 && m.lap(r.pos)&(m.lapMask>>3) == 0 {
		m.refresh(r)
	}
	// Behind the claim. Either Close was before this, and the items do not exist, or a consumer that finds the ring closed and
	// the run not claimed cannot be: pairs with the store in Close and the loads in Take.
	if m.Closed() {
		if err := m.change(r, slotWriting, slotDone); err != nil {
			return Run{}, false, fmt.Errorf("reserve slots: %w", err)
		}
		m.tellEnd()
		return Run{}, false, ErrClosed
	}
	return r, true, nil
}

// refresh writes the words inside r, as they would be if it had been split at each: so that none lies
// unwritten for so many laps that it would seem to be new.
func (m *MPMC) refresh(r Run) {
	for i := 1; i < r.n; i++ {
		pos := r.pos + uint64(i)
		m.word(pos).Store(uint64(makeSlot(slotFull, m.lap(pos), 0, r.n-i))) // nobody goes by it before r is full
	}
}

// change makes r, which this participant has claimed, what to says, and hands its slots over. A store will do: while the participant
// lives nobody else changes the word, and a process that is known to be dead has completed its stores.
func (m *MPMC) change(r Run, from, to slotState) error {
	word, lap := m.word(r.pos), m.lap(r.pos)
	if w := slotWord(word.Load()); w != makeSlot(from, lap, m.self, r.n) {
		return fmt.Errorf("run of %d at %#x: %v: %w", r.n, r.pos, w, ErrCorrupted)
	}
	sys.PublishStore64(word, uint64(makeSlot(to, lap, 0, r.n)))
	return nil
}

// Commit publishes the run, which is the caller's no more, and wakes those who wait for items. The error is [ErrCorrupted]: also
// for a run that is not reserved. No two calls for the same run may overlap.
func (m *MPMC) Commit(r Run) error {
	// Pairs with the load in take. It is the change that Items tells of.
	if err := m.change(r, slotWriting, slotFull); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	m.Items().Notify(r.n)
	return nil
}

// TryPut puts one item, of ItemSize bytes. It returns what Reserve returns.
func (m *MPMC) TryPut(item []byte) (ok bool, err error) {
	m.checkItem(item)
	if s, ok := m.reserveOne(); ok {
		copy(m.mem[s.at:], item)
		m.commitOne(s)
		return true, nil
	}
	r, ok, err := m.Reserve(1)
	if !ok {
		return false, err
	}
	copy(m.Slot(r, 0), item)
	return true, m.Commit(r)
}

func (m *MPMC) checkItem(item []byte) {
	if len(item) != m.item {
		panic(fmt.Sprintf("ring: an item of %d bytes in a ring of items of %d", len(item), m.item))
	}
}
