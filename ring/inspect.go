package ring

import (
	"fmt"
	"io"

	"github.com/shmkit/shmkit/internal/exam"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/shm"
)

// Inspect looks from outside at the ring, pipe or queue that begins at off in r, a file of shared memory or a copy, of which room bytes follow: how full
// it is, who takes part, and what is as it must not be. It writes nothing, is no participant, and returns within a bounded time, whatever is there. The
// error says that there is no such structure, or that it cannot be read.
func Inspect(r io.ReaderAt, off, room int64) (*shm.Report, error) {
	kind, size, params, err := exam.Front(r, off)
	if err != nil {
		return nil, fmt.Errorf("inspect ring: %w", err)
	}
	look, need := looker(kind, params), size
	if look == nil {
		return nil, fmt.Errorf("inspect ring: it is a %v: %w", kind, layout.ErrKind)
	}
	if kind == layout.KindMPMC || kind == layout.KindQueue {
		need = lengthOfWords(kind, params, size) // the items do not matter
	}
	switch {
	case size > room:
		look, need = cutOff(size, room), layout.HeaderSize
	case need > exam.Most:
		look, need = tooLarge, layout.HeaderSize
	}
	rep, err := exam.Look(r, off, max(need, layout.HeaderSize), look)
	if err != nil {
		return nil, fmt.Errorf("inspect ring: %w", err)
	}
	rep.Kind, rep.Size = kind.String(), min(size, room)
	if kind == layout.KindQueue && size <= room {
		inspectArena(r, off, room, params, rep)
	}
	return rep, nil
}

func looker(kind layout.Kind, params [5]uint64) func(*exam.Exam) {
	switch kind {
	case layout.KindSPSC:
		return func(e *exam.Exam) { inspectSPSC(e, e.Mem, params[0], "") }
	case layout.KindPipe:
		return func(e *exam.Exam) { inspectPipe(e) }
	case layout.KindBroadcast:
		return func(e *exam.Exam) { inspectBroadcast(e, params) }
	case layout.KindMPMC, layout.KindQueue:
		return func(e *exam.Exam) { inspectMPMC(e, kind, params) }
	}
	return nil
}

func cutOff(size, room int64) func(*exam.Exam) {
	return func(e *exam.Exam) { e.Unless(false, "it was made with %d bytes, and there are %d", size, room) }
}

func tooLarge(e *exam.Exam) { e.Fact("records", "not looked at: it is too large") }

// inspectSPSC looks at the ring in mem, a part of the copy.
func inspectSPSC(e *exam.Exam, mem []byte, capacity uint64, which string) {
	e.Fact(which+"capacity", "%d bytes", capacity)
	r, err := openSPSC(mem)
	if err != nil {
		e.Unless(false, "%s%v", which, err)
		return
	}
	head := r.control.head.Load()
	e.Unless(head%wordSize == 0, "%shead is %#x, which is no multiple of %d", which, head, wordSize)
	if !e.Still || head%wordSize != 0 {
		e.Fact(which+"filled", "it moves")
		return
	}
	tail, err := r.walk(head)
	if err != nil {
		e.Unless(false, "%s%v", which, err)
		return
	}
	e.Fact(which+"filled", "%d bytes, in %s", tail-head, r.recordsBetween(head, tail))
}

// recordsBetween counts what walk has found sound.
func (r *spsc) recordsBetween(head, tail uint64) string {
	records := 0
	for pos := head; pos != tail; {
		_, off := r.split(pos)
		h := header(r.words[off/wordSize].Load())
		if !h.isPadding() {
			records++
			if each := h.each(); each > 0 {
				records += max(h.size()/each, 1) - 1
			}
		}
		pos += uint64(h.span())
	}
	if records == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", records)
}

func inspectPipe(e *exam.Exam) {
	m, err := openPipe(e.Mem)
	if err != nil {
		e.Unless(false, "%v", err)
		return
	}
	for i := range m.control.ends {
		end := &m.control.ends[i]
		switch h := holding(end.holder.Load()); {
		case h == closedEnd:
			e.Fact(fmt.Sprintf("end %d", i), "closed")
		case h.isTicket():
			e.Fact(fmt.Sprintf("end %d", i), "on its way to another process")
			e.Unless(!e.Still || uint64(h) <= uint64(ticketOf(end.tickets.Load())), "end %d: its ticket was never issued", i)
			e.Party(owner.ID(end.giver.Load()), "gave end %d away", i)
		default:
			e.Fact(fmt.Sprintf("end %d", i), "of process %d", owner.ID(h).Pid())
			e.Party(owner.ID(h), "has end %d", i)
		}
	}
	for d, mem := range m.rings {
		if mem == nil {
			continue
		}
		which := fmt.Sprintf("from end %d: ", d)
		inspectSPSC(e, mem, uint64(len(mem)-storageOff), which)
		e.Waiting(which+"receivers", m.control.bells[d].filled.Load())
		e.Waiting(which+"senders", m.control.bells[d].room.Load())
	}
}

func inspectBroadcast(e *exam.Exam, params [5]uint64) {
	e.Fact("capacity", "%d records of %d bytes", params[0], params[1])
	b, err := openBroadcast(e.Mem)
	if err != nil {
		e.Unless(false, "%v", err)
		return
	}
	tail, whole := b.control.tail.Load(), 0
	for i := range b.slots() {
		tag := b.slot(i)[0].Load()
		pos := tag >> 1
		if tag&isWhole != 0 {
			whole++
		}
		e.Unless(pos&b.mask == i, "slot %d has the tag of position %#x", i, pos)
		e.Unless(!e.Still || (tail-pos)&(1<<63-1) <= b.slots(), "slot %d has the tag of position %#x, the next record's is %#x", i, pos, tail)
	}
	e.Fact("written", "%d records", tail)
	e.Fact("there", "%d", whole)
}
