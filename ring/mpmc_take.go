package ring

import (
	"fmt"
	"io"

	"github.com/shmkit/shmkit/internal/sys"
)

// Take claims up to n items, at least 1, that the caller uses where they lie and then gives back with Release. ok is false
// if there are none now. They are those that were reserved first and are not taken; a run has no more than 64. The error is
// [io.EOF] if the ring was closed and nothing more will come, or [ErrCorrupted]. It panics if n is not positive.
func (m *MPMC) Take(n int) (r Run, ok bool, err error) {
	if n < 1 {
		panic(fmt.Sprintf("ring: take %d items", n))
	}
	for {
		s := search{closed: m.Closed(), returned: m.ctl.returned.Load()}
		s.pos = m.first.Load()
		if s.returned != 0 { // by who buried a consumer: pairs with the Add in bury
			s.pos = m.ctl.free.Load()
		}
		r, ok, err = m.take(&s, min(n, maxRun))
		switch {
		case err != nil:
			return Run{}, false, fmt.Errorf("take items: %w", err)
		case ok:
			return r, true, nil
		case s.blocked && m.blocked(s.blocker):
			continue // that was a dead one, and its slots are done
		}
		if s.returned != 0 {
			m.ctl.returned.CompareAndSwap(s.returned, 0) // unless there is more since: pairs with the Add in bury
		}
		if s.closed && !s.blocked {
			return Run{}, false, m.drained(s.pos)
		}
		return Run{}, false, nil
	}
}

// A search is one walk to the first item that nobody has claimed.
type search struct {
	closed   bool   // it was, before all that the search has seen
	returned uint32 // not 0: it begins at free
	pos      uint64
	blocked  bool // by who writes the item
	blocker  slotWord
}

func (m *MPMC) take(s *search, n int) (r Run, ok bool, err error) {
	for {
		w := slotWord(m.word(s.pos).Load()) // pairs with the stores in change and commitOne, and the compare-and-swap in mend
		switch age := m.age(s.pos, w); {
		case age > 0:
			return Run{}, false, nil
		case age < 0:
			if err := m.overtaken(s, w); err != nil {
				return Run{}, false, err
			}
			continue
		}
		switch w.state() {
		case slotWriting:
			s.blocked, s.blocker = true, w
			return Run{}, false, nil
		case slotFull:
			if w.run() > m.capacity {
				return Run{}, false, fmt.Errorf("position %#x is %v, and there are %d: %w", s.pos, w, m.capacity, ErrCorrupted)
			}
			if n == 0 { // only to know
				return Run{}, true, nil
			}
			if r, ok, err := m.claim(s, w, n); ok || err != nil {
				return r, ok, err
			}
		default:
			s.pos += uint64(w.run())
		}
	}
}

// overtaken brings a search that is a lap late to where free was not long ago.
func (m *MPMC) overtaken(s *search, w slotWord) error {
	hint := &m.ctl.head
	if s.returned != 0 {
		hint = &m.ctl.free
	}
	at := hint.Load()
	if int64(at-s.pos) <= 0 {
		return fmt.Errorf("position %#x is said to be old, it is %v and the hint is %#x: %w", s.pos, w, at, ErrCorrupted)
	}
	s.pos = at
	return nil
}

// claim takes the first n of the run w. ok is false if somebody else was faster.
func (m *MPMC) claim(s *search, w slotWord, n int) (r Run, ok bool, err error) {
	r = Run{s.pos, min(n, w.run())}
	if r.n < w.run() {
		if ok, err := m.split(r, w); !ok {
			return Run{}, false, err
		}
	}
	// The items are this participant's. Killed from here on, they are dropped or given to another. Pairs with the
	// loads in take and bury.
	if !m.word(r.pos).CompareAndSwap(uint64(w), uint64(makeSlot(slotReading, m.lap(r.pos), m.self, r.n))) {
		return Run{}, false, nil
	}
	if s.returned == 0 {
		sys.ReleaseStore64(&m.first, r.end()) // a private hint: no fence is needed
	}
	m.pass(&m.ctl.head, r)
	return r, true, nil
}

// split prepares what remains of the run w when its first slots r are taken: a run that begins behind them. Until
// that happens the word lies inside a run, and means nothing. What others have left there, who wanted to split it or
// a longer one at this place, is replaced.
func (m *MPMC) split(r Run, w slotWord) (ok bool, err error) {
	pos := r.pos + uint64(r.n)
	inner := m.word(pos)
	was := slotWord(inner.Load())
	if slotWord(m.word(r.pos).Load()) != w {
		return false, nil
	}
	// While w was still there nobody had claimed the position for the lap behind, and so was is not from there.
	rest := makeSlot(slotFull, m.lap(pos), 0, w.run()-r.n)
	if was == rest {
		return true, nil
	}
	if age := m.age(pos, was); age < 0 || age == 0 && was.state() != slotFull {
		return false, fmt.Errorf("position %#x, inside a run at %#x, is %v: %w", pos, r.pos, was, ErrCorrupted)
	}
	return inner.CompareAndSwap(uint64(was), uint64(rest)), nil
}

// drained returns io.EOF if nothing will come at pos, the end of a closed ring: if what others read now cannot be
// given back when they die.
func (m *MPMC) drained(pos uint64) error {
	if m.onDeath == Redeliver {
		free, stop, err := m.advance()
		if err != nil {
			return fmt.Errorf("take items: %w", err)
		}
		if int64(pos-free) > 0 {
			m.blocked(stop)
			return nil
		}
	}
	return io.EOF
}

// Release gives the slots of a run that was taken back to producers, and wakes those who wait for room. The error is [ErrCorrupted]:
// also for a run that is not taken. No two calls for the same run may overlap.
func (m *MPMC) Release(r Run) error {
	// Pairs with the load in advance. It is the change that Room tells of.
	if err := m.change(r, slotReading, slotDone); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	m.Room().Notify(r.n)
	if m.Closed() {
		m.tellEnd()
	}
	return nil
}

// tellEnd wakes those who wait for the end of a closed ring, after a change that may have brought it.
func (m *MPMC) tellEnd() {
	m.Items().NotifyAll()
	m.idle().NotifyAll()
}

// TryTake takes one item, of ItemSize bytes, into dst. It returns what Take returns.
func (m *MPMC) TryTake(dst []byte) (ok bool, err error) {
	m.checkItem(dst)
	if s, ok := m.takeOne(); ok {
		copy(dst, m.mem[s.at:])
		m.releaseOne(s)
		return true, nil
	}
	r, ok, err := m.Take(1)
	if !ok {
		return false, err
	}
	copy(dst, m.Slot(r, 0))
	return true, m.Release(r)
}
