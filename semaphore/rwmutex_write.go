package semaphore

import (
	"context"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// All of this is done by who holds the writers' lock.

// write makes the holder of the writers' lock a writer: when the readers have left who are there now.
func (m *RWMutex) write(ctx context.Context) error {
	g := m.shut()
	if !m.occupied(g.inside()) {
		return m.wrote(g)
	}
	if err := m.drain(ctx, g.inside()); err != nil {
		m.giveUp()
		return err
	}
	return m.wrote(g)
}

// drain waits until all readers of a phase have left. Readers that die are buried, because the server minds them.
func (m *RWMutex) drain(ctx context.Context, phase uint64) error {
	served, err := m.draining.Wait(ctx, m.drained(), func() bool { return m.empty(phase) })
	if served {
		return nil
	}
	return err
}

// empty reports whether all readers of a phase have left. If not, and this process is about to sleep, it is told when one of them ends.
func (m *RWMutex) empty(phase uint64) bool {
	if m.body.drained.Load()&waiting != 0 {
		m.readers.mind()
	}
	return !m.occupied(phase)
}

// tryWrite is write without waiting. It does not close the gate in vain, as far as can be seen before.
func (m *RWMutex) tryWrite() (ok bool, err error) {
	if phase := gateWord(m.body.gate.Load()).inside(); m.occupied(phase) {
		if m.readers.recover(); m.occupied(phase) {
			m.reopen(suspect) // if it is closed, a dead writer has left it so: nobody else would be told
			m.writers.release()
			return false, nil
		}
	}
	g := m.shut()
	if m.occupied(g.inside()) {
		m.giveUp()
		return false, nil
	}
	return true, m.wrote(g)
}

// shut closes the gate. If it is closed, a dead writer has left it so.
func (m *RWMutex) shut() gateWord {
	g := gateWord(m.body.gate.Load())
	if g.closed() {
		g |= suspect
	} else {
		g++
	}
	m.body.gate.Store(uint64(g)) // before the look at the seats: pairs with the loads in enter and arrive
	return g
}

// wrote is what follows when a writer has the lock.
func (m *RWMutex) wrote(g gateWord) error {
	sys.RaceAcquire(&m.read)
	if g.suspect() {
		return m.died()
	}
	return nil
}

// giveUp is for a writer that does not get the lock.
func (m *RWMutex) giveUp() {
	m.reopen(0)
	m.writers.release()
}

// reopen opens the gate for the phase that it was closed after, with more bits in its word.
func (m *RWMutex) reopen(more gateWord) {
	g := gateWord(m.body.gate.Load())
	if !g.closed() {
		return
	}
	m.body.gate.Store(uint64(g&^closed | more)) // pairs with the loads in arrive and look
	// Killed here: readers find it within Step.
	m.opened().NotifyAll()
}

// occupied reports whether a phase has readers.
func (m *RWMutex) occupied(phase uint64) (yes bool) {
	m.readers.each(func(i int, _ owner.ID) {
		if readerCount(m.readers.seats[i].count.Load()).of(phase) > 0 { // pairs with the Add in count
			yes = true
		}
	})
	return yes
}
