package ring

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// lookEvery is how often a participant finds another in the way before it asks whether that one is alive: a system call.
const lookEvery = 1024

// attach takes a place in the table.
func (m *MPMC) attach() error {
	id, err := owner.Self()
	if err != nil {
		return err
	}
	m.id = id
	sys.AcceptFences() // from those who wait for items and room
	for i := range m.table {
		if m.table[i].owner.CompareAndSwap(0, uint64(id)) {
			m.seat(i)
			return nil
		}
	}
	for i := range m.table {
		if m.bury(i, uint64(id)) {
			m.seat(i)
			return nil
		}
	}
	return fmt.Errorf("%d participants: %w", len(m.table), ErrNoPlace)
}

// seat is what follows when place i is this participant's.
func (m *MPMC) seat(i int) {
	m.self = i
	m.gone.Store(false)
	if heir := m.estate.heir; heir > 0 {
		m.table[i].holders[0].Store(heir) // killed before: it has nothing in the arena yet, or is in another of them
		for k := range m.table[i].holders[1:] {
			m.table[i].holders[1+k].Store(0)
		}
	}
	m.ctl.roster.Add(1)
	m.wakeAll() // those who wait watch this process from now on
}

// Detach gives the participant's place up. No other call may follow or be in progress, and no run be reserved or taken. What it has
// put stays.
func (m *MPMC) Detach() error {
	if m.gone.Swap(true) {
		return nil
	}
	p := &m.table[m.self]
	to := uint64(0)
	if m.estate.heir > 0 {
		to = left // another has to see to the arena
	}
	p.dones.Store(p.takes.Load())
	p.takes.Store(0) // between the two stores it has not finished what it took: a wait for the end is longer, and not shorter
	p.dones.Store(0)
	if !p.owner.CompareAndSwap(uint64(m.id), to) {
		return fmt.Errorf("detach: place %d is not of process %v: %w", m.self, m.id, ErrCorrupted)
	}
	m.ctl.roster.Add(1)
	m.wakeAll()
	return nil
}

// Recover looks whether participants have died, and sees to what they have left. It returns how many there were. Those who
// use the ring find out by themselves when they meet such a one again and again: Recover is for who
// knows of a death, or wants to know.
func (m *MPMC) Recover() (dead int) {
	for i := range m.table {
		if m.bury(i, 0) {
			dead++
		}
	}
	return dead
}

// blocked says that the run w, which a participant has claimed, is in the way, and reports whether it is no more.
func (m *MPMC) blocked(w slotWord) bool {
	if s := w.state(); s != slotWriting && s != slotReading || w.place() >= len(m.table) {
		return false
	}
	return m.looks.Add(1)%lookEvery == 0 && m.bury(w.place(), 0)
}

// bury sees to what the owner of place i has left, if it is dead, and reports whether it was. The place is then to's.
//
// The mark keeps others from it. Otherwise one who is late could take the same claim, made again by the place's
// next owner, for that of the dead.
func (m *MPMC) bury(i int, to uint64) bool {
	p := &m.table[i]
	was := p.owner.Load()
	id := owner.ID(was &^ burying)
	if id == 0 || id == m.id || was != left && m.alive(id) {
		return false
	}
	mark := burying | uint64(m.id)
	if !p.owner.CompareAndSwap(was, mark) {
		return false
	}
	// Killed from here on: the next who looks begins anew. All steps may be made twice.
	ok := m.inherit(p)
	if ok {
		m.sweep(i)
		p.takes.Store(0)
		p.dones.Store(0)
		if m.onDeath == Redeliver {
			m.ctl.returned.Add(1) // behind the changes of words, whoever made them: pairs with the load in Take
		}
		was = to
	}
	p.owner.CompareAndSwap(mark, was)
	m.ctl.roster.Add(1)
	m.wakeAll()
	return ok
}

// inherit takes over what the dead have in a queue's arena. Who has no place yet puts its number beside theirs before, so
// that it is found there. ok is false if there is no room for that: those who have places can bury them.
func (m *MPMC) inherit(p *place) (ok bool) {
	heir := m.estate.heir
	if heir == 0 {
		return true
	}
	if m.self < 0 && !p.note(heir) {
		return false
	}
	for i := range p.holders {
		if dead := p.holders[i].Load(); dead != 0 && dead != heir {
			m.estate.bury(dead)
			p.holders[i].Store(0)
		}
	}
	return true
}

// note enters a holder's number where there is none.
func (p *place) note(holder uint32) (ok bool) {
	for i := range p.holders {
		if p.holders[i].CompareAndSwap(0, holder) {
			return true
		}
	}
	return false
}

// sweep changes the words of all runs that the owner of place i had claimed. It is dead, so there are no new ones.
func (m *MPMC) sweep(i int) {
	from := m.ctl.free.Load()
	for pos := from; pos-from <= uint64(m.capacity); {
		w := slotWord(m.word(pos).Load()) // pairs with the compare-and-swaps in Reserve, claim and mpmc_single.go
		switch age := m.age(pos, w); {
		case age > 0:
			return
		case age < 0: // free has been raised since
			now := m.ctl.free.Load()
			if now == from {
				return // written by who must not: an operation says so
			}
			from, pos = now, now
			continue
		}
		if s := w.state(); w.place() == i && (s == slotWriting || s == slotReading) {
			m.mend(pos, w)
		}
		pos += uint64(w.run())
	}
}

// mend changes one of them. Nobody else does: its owner is dead, and who buries is alone.
func (m *MPMC) mend(pos uint64, w slotWord) {
	to := makeSlot(slotDone, w.lap(), 0, w.run())
	if w.state() == slotReading && m.onDeath == Redeliver {
		to = makeSlot(slotFull, w.lap(), 0, w.run())
	} else if m.estate.orphan != nil {
		for k := range w.run() {
			m.estate.orphan(m.slot(pos + uint64(k)))
		}
	}
	m.word(pos).CompareAndSwap(uint64(w), uint64(to))
}
