package semaphore

import (
	"context"
	"fmt"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// # Readers and the writer
//
// A reader counts itself in its seat, and then looks at the gate again; a writer closes the gate, and then looks at all seats. So one sees
// the other: the writer sees the count, or the reader the closed gate. All these operations have one total order.
//
// Who comes while the gate is open registers for this phase, and has the lock if the gate is still the same afterwards. Who comes while it is
// closed registers for the next phase, and has the lock once the gate has come to that: the writer after this one sees
// the count, and waits, also if the reader has not noticed yet. So a count of the next phase is of readers that wait, and one
// of this phase of readers that have the lock, except for a moment.
//
// # Deaths
//
// A dead reader's counts are taken away by whoever learns of its end: bury. A writer that died holds the writers' lock, and
// the next who takes that finds the gate as it was left: open, and then nothing was being written; or closed. A writer goes on there, and
// a reader that waits opens it again, for the phase that it was in: relieve. Either says in the gate word that it was so.

// enter takes the read lock if the gate is open.
func (m *RWMutex) enter() (g gateWord, ok bool) {
	g = gateWord(m.body.gate.Load()) // pairs with the stores in Unlock and shut
	if g.closed() {
		return g, false
	}
	if m.count(g.inside()) && m.body.gate.Load() == uint64(g) { // after the count: pairs with the store in shut
		return g, true
	}
	m.retreat(g.inside())
	return g, false
}

// count counts a reader of a phase, and reports whether there may be as many: if not, the caller takes it back. Killed behind it: the
// count stays until this process's end is known.
func (m *RWMutex) count(phase uint64) (ok bool) {
	return readerCount(m.readers.mine().count.Add(one(phase))).of(phase) <= maxReaders // pairs with the load in occupied
}

// full is the error of a reader that found too many of its phase, or nil if there is room by now.
func (m *RWMutex) full(phase uint64) error {
	if readerCount(m.readers.mine().count.Load()).of(phase) < maxReaders {
		return nil
	}
	return fmt.Errorf("lock RWMutex: %d read on this handle already, or wait for it", maxReaders)
}

// retreat takes a reader's count back.
func (m *RWMutex) retreat(phase uint64) {
	m.readers.mine().count.Add(-one(phase)) // pairs with the load in occupied
	// Killed here: the writer looks again within Step.
	m.drained().NotifyAll()
}

// entered is what follows when a reader has the lock.
func (m *RWMutex) entered(g gateWord) error {
	sys.RaceAcquire(&m.writers.order)
	if g.suspect() {
		return m.died()
	}
	return nil
}

func (m *RWMutex) died() error { return fmt.Errorf("lock RWMutex: a writer: %w", ErrOwnerDied) }

// arrive registers a reader for a phase, and reports whether it has the lock. It begins anew only if a writer has come or gone in these few
// nanoseconds, or one of too many readers has. The error says that there are too many.
func (m *RWMutex) arrive() (g gateWord, in bool, err error) {
	for {
		g = gateWord(m.body.gate.Load()) // pairs with the stores in Unlock, shut and reopen
		ok := m.count(g.next())
		now := gateWord(m.body.gate.Load()) // after the count: pairs with the store in shut
		switch {
		case !ok:
		case now.number() == g.number():
			return now, !g.closed(), nil
		case g.closed() && now.number() == g.number()+1:
			return now, true, nil
		}
		m.retreat(g.next())
		if !ok {
			if err := m.full(g.next()); err != nil {
				return g, false, err
			}
		}
	}
}

// arriveAndWait takes the read lock with all that it takes.
func (m *RWMutex) arriveAndWait(ctx context.Context) error {
	m.waits.Add(1)
	defer m.waits.Done()
	for {
		g, in, err := m.arrive()
		if err != nil {
			return err
		}
		if in {
			return m.entered(g)
		}
		now, err := m.await(ctx, g)
		if err == nil && now.number() > g.number() {
			return m.entered(now)
		}
		m.retreat(g.next())
		if err != nil {
			return err
		}
	}
}

// await waits until the gate is no more what it was when the caller registered, and returns what it is then: greater, and the caller has
// the lock; or less, as the writer has given up, and then the phase before goes on.
//
// Those who wait for one phase have a queue of their own, as they have one condition: in a queue, it is that of the first which is looked at. None
// waits for a later phase while one is here: the writer between them waits for all who have registered for this one.
func (m *RWMutex) await(ctx context.Context, g gateWord) (now gateWord, err error) {
	var failed error // like now, written by the queue's server before it says that the waiter is served
	served, err := m.entering[g.next()%2].Wait(ctx, m.opened(), func() bool {
		now, failed = m.look(g)
		return now.number() != g.number() || failed != nil
	})
	if served {
		return now, failed
	}
	return now, err
}

// look returns what the gate is, for a reader that has registered when it was g.
func (m *RWMutex) look(g gateWord) (now gateWord, err error) {
	now = gateWord(m.body.gate.Load()) // pairs with the stores in Unlock and reopen
	if now.number() == g.number() && m.body.opened.Load()&waiting != 0 {
		// About to sleep: from now on this process is told of the writer's end.
		if err := m.relieve(m.gone); err != nil {
			return now, err
		}
		now = gateWord(m.body.gate.Load())
	}
	// One more, and the gate is open; two, and the next writer has closed it already, and waits for this reader.
	if n := now.number(); n+1 < g.number() || n > g.number()+2 {
		return now, fmt.Errorf("lock RWMutex: its gate is %#x, after %#x: %w", uint64(now), uint64(g), ErrCorrupted)
	}
	return now, nil
}

// gone reports whether the process that w names has ended; if not, this one is told when it does.
func (m *RWMutex) gone(w uint64) bool {
	holder := holderOf(w)
	return holder != m.writers.id && m.writers.vigil.ended(holder)
}

// relieve opens the gate if no writer that lives has closed it: gone is asked about the one who has the writers' lock.
//
// It takes that lock from a dead holder and in no other way. Whoever gives it back has opened the gate, and told those who wait, before: so if the lock
// is free or granted by now, the caller finds that when it looks again. A grant is for a writer, of this process perhaps, who would have to
// wait for another turn if a reader used it up.
func (m *RWMutex) relieve(gone func(w uint64) bool) error {
	for gateWord(m.body.gate.Load()).closed() {
		w, err := m.writers.load()
		if err != nil || holderOf(w) == 0 || w&granted != 0 || !gone(w) {
			return err
		}
		if !m.writers.replace(w) {
			continue
		}
		// Killed here: the next finds the lock that of another dead process, and the gate as it was.
		m.reopen(suspect)
		m.writers.release()
		return nil
	}
	return nil
}

// bury takes the counts of a dead process away: see [table]. The seat's next owner clears them too, but may be stopped before it does, and
// must not be taken for a reader meanwhile.
func (m *RWMutex) bury(i int, dead owner.ID) {
	count := &m.body.readers.seats[i].count
	was := readerCount(count.Load())
	if was != was.none() && m.readers.isOf(i, dead) {
		count.CompareAndSwap(uint64(was), uint64(was.none())) // pairs with the load in occupied
	}
	m.drained().Rouse() // it may have died between the two steps of NotifyAll
}
