package ring

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/shmkit/shmkit/internal/exam"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/shm"
)

// lengthOfWords returns how much of a ring lies before its items.
func lengthOfWords(kind layout.Kind, params [5]uint64, size int64) int64 {
	s, err := shapeFrom(kind, params)
	if err != nil || s.data > size {
		return layout.HeaderSize
	}
	return s.data
}

func inspectMPMC(e *exam.Exam, kind layout.Kind, params [5]uint64) {
	s, err := shapeFrom(kind, params)
	if err != nil {
		e.Unless(false, "%v", err)
		return
	}
	_, size, _, err := layout.HeaderOf(e.Mem)
	e.Unless(err == nil && size == uint64(s.total), "it says that it has %d bytes, with these parameters it has %d", size, s.total)
	e.Fact("capacity", "%d items of %d bytes", s.capacity, s.item)
	e.Fact("items of the dead", "%s", [...]string{"are given to others", "are dropped"}[s.onDeath])
	if int64(len(e.Mem)) < s.data { // it has not what it says
		return
	}
	m, err := s.open(e.Mem[:s.data])
	if err != nil {
		e.Unless(false, "%v", err)
		return
	}
	m.inspect(e)
}

func (m *MPMC) inspect(e *exam.Exam) {
	free, head, tail := m.ctl.free.Load(), m.ctl.head.Load(), m.ctl.tail.Load()
	if !e.Still {
		e.Fact("items", "it moves")
	} else {
		e.Unless(int64(head-free) >= 0 && int64(tail-free) >= 0, "head %#x or tail %#x is before free, %#x", head, tail, free)
		m.inspectRuns(e, free)
	}
	if m.Closed() {
		e.Fact("closed", "nobody puts any more")
	}
	e.Waiting("takers", m.ctl.items.Load())
	e.Waiting("putters", m.ctl.room.Load())
	for i := range m.table {
		p := &m.table[i]
		switch w := p.owner.Load(); {
		case w == 0 || w == left:
		case w&burying != 0:
			e.Party(owner.ID(w&^burying), "buries who had place %d", i)
		default:
			e.Unless(owner.ID(w).Pid() != 0, "place %d is that of no process: %#x", i, w)
			e.Unless(!e.Still || p.dones.Load() <= p.takes.Load(), "place %d: %d items are done, of %d that were taken", i, p.dones.Load(), p.takes.Load())
			e.Party(owner.ID(w), "takes part, place %d", i)
		}
	}
}

// inspectRuns goes from run to run, from the oldest to the end.
func (m *MPMC) inspectRuns(e *exam.Exam, free uint64) {
	var n [4]int // items by state
	pos := free
	for pos-free < uint64(m.slots) {
		w := slotWord(m.word(pos).Load())
		age := m.age(pos, w)
		if age > 0 {
			break
		}
		if age < 0 {
			e.Unless(false, "position %#x, of which %#x are in use, is %v: that is to come", pos, pos-free, w)
			return
		}
		if w.state() == slotWriting || w.state() == slotReading {
			m.inspectPlace(e, pos, w)
		}
		n[w.state()] += w.run()
		pos += uint64(w.run())
	}
	e.Unless(pos-free <= uint64(m.capacity), "%d items are in use, there is room for %d", pos-free, m.capacity)
	for _, cursor := range []struct {
		name string
		at   uint64
	}{{"head", m.ctl.head.Load()}, {"tail", m.ctl.tail.Load()}} {
		e.Unless(int64(pos-cursor.at) >= 0, "%s is %#x, and all ends at %#x", cursor.name, cursor.at, pos)
	}
	var parts []string
	for _, part := range []struct {
		state slotState
		what  string
	}{{slotFull, "full"}, {slotWriting, "being written"}, {slotReading, "being read"}, {slotDone, "done"}} {
		if n[part.state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[part.state], part.what))
		}
	}
	if len(parts) == 0 {
		parts = []string{"none"}
	}
	e.Fact("items", "%s", strings.Join(parts, ", "))
}

// inspectPlace looks whose a run is.
func (m *MPMC) inspectPlace(e *exam.Exam, pos uint64, w slotWord) {
	what := "writes"
	if w.state() == slotReading {
		what = "reads"
	}
	if w.place() >= m.places {
		e.Unless(false, "position %#x is %v: there are %d places", pos, w, m.places)
		return
	}
	if id := m.table[w.place()].owner.Load() &^ burying; id != 0 && id != left {
		e.Party(owner.ID(id), "%s %d items", what, w.run())
	}
}

// inspectArena looks at the memory of a queue's large items.
func inspectArena(r io.ReaderAt, off, room int64, params [5]uint64, rep *shm.Report) {
	s, err := shapeFrom(layout.KindQueue, params)
	if err != nil || s.arena == 0 {
		return
	}
	at := arenaAt(s.total)
	if at > room || shm.ArenaSize(s.arena, 0) > room-at || off > math.MaxInt64-at {
		rep.Broken = append(rep.Broken, fmt.Sprintf("its arena of %d bytes does not fit", s.arena))
		return
	}
	st, _, odd, err := shm.Inspect(r, off+at, shm.ArenaSize(s.arena, 0))
	switch {
	case errors.Is(err, shm.ErrNoArena):
		rep.Broken = append(rep.Broken, err.Error())
		return
	case err != nil:
		rep.Broken = append(rep.Broken, fmt.Sprintf("arena: %v", err))
		return
	}
	for i := 0; i < 2 && len(odd) > 0; i++ { // what is odd for a moment is not wrong
		_, _, again, err := shm.Inspect(r, off+at, shm.ArenaSize(s.arena, 0))
		if err != nil {
			break
		}
		odd = common(odd, again)
	}
	for _, line := range odd {
		rep.Broken = append(rep.Broken, "arena: "+line)
	}
	rep.Facts = append(rep.Facts, shm.Fact{Name: "large items", Value: fmt.Sprintf("%d bytes of %d in %d blocks", st.Blocks, st.Size, st.Count)})
}

func common(a, b []string) (both []string) {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				both = append(both, x)
				break
			}
		}
	}
	return both
}
