package semaphore

import (
	"math"

	"github.com/shmkit/shmkit/internal/exam"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

func inspectMutex(e *exam.Exam, _ [5]uint64) {
	layout.MustAt[mutexBody](e.Mem, 0).lock.inspect(e, "lock", "holds the lock")
}

// inspect looks at a lock. It returns its word.
func (l *lockWords) inspect(e *exam.Exam, name, holds string) (w uint64) {
	w = l.word.Load()
	holder := holderOf(w)
	switch {
	case w&^claimed == 0:
		e.Fact(name, "free")
	case holder.Pid() == 0:
		e.Unless(false, "the %s is that of no process: %#x", name, w)
	case w&granted != 0:
		e.Fact(name, "kept for process %d, which was waiting", holder.Pid())
		e.Party(holder, "is to have the lock next")
	default:
		e.Fact(name, "held by process %d", holder.Pid())
		e.Party(holder, "%s", holds)
	}
	e.Waiting("waiters", l.sleepers.Load())
	var words [claims]uint64
	for i := range words {
		words[i] = l.claim[i].Load()
	}
	inspectClaims(e, &words)
	return w
}

func inspectRWMutex(e *exam.Exam, _ [5]uint64) {
	b := layout.MustAt[rwBody](e.Mem, 0)
	gate := gateWord(b.gate.Load())
	w := b.writers.inspect(e, "writers' lock", "writes, or is about to")
	e.Unless(!e.Still || !gate.closed() || w&^claimed != 0, "the gate is closed to readers, and there is no writer")
	readers, waiting := uint64(0), uint64(0)
	inspectRoll(e, &b.readers, func(_ int, id owner.ID, count uint64) {
		inside := readerCount(count).of(gate.inside())
		if inside > 0 {
			e.Party(id, "reads, %d times", inside)
		}
		readers += inside
		if gate.closed() {
			waiting += readerCount(count).of(gate.next())
		}
	})
	e.Fact("readers", "%d, and %d wait for the writer", readers, waiting)
	if gate.suspect() {
		e.Fact("data", "a writer has died, and none has written since")
	}
}

func inspectCond(e *exam.Exam, _ [5]uint64) {
	b := layout.MustAt[condBody](e.Mem, 0)
	top := b.top.Load()
	e.Unless(top <= Seats, "places up to %d were somebody's, and there are %d", top, Seats)
	waiting, signalled := uint64(0), uint64(0)
	for i := range b.places {
		t := b.places[i].load()
		waiting, signalled = waiting+t.waiting(), signalled+t.signalled()
		e.Unless(!e.Still || uint32(i) < top || t == 0, "place %d was nobody's yet, and counts waiters", i)
	}
	e.Fact("waiters", "%d, and %d who were signalled and have not gone on", waiting, signalled)
	inspectRoll(e, &b.roll, func(i int, id owner.ID, _ uint64) {
		if n := b.places[i].load().waiting(); n > 0 {
			e.Party(id, "waits, %d times", n)
		}
	})
}

func inspectValue(e *exam.Exam, params [5]uint64) {
	e.Fact("value", "%d bytes, of a type with fingerprint %#x", params[1], params[0])
	inspectBox(e)
}

func inspectArray(e *exam.Exam, params [5]uint64) {
	e.Fact("elements", "%d of %d bytes, of a type with fingerprint %#x", params[2], params[1], params[0])
	inspectBox(e)
}

func inspectBox(e *exam.Exam) {
	if _, err := layout.Check(e.Mem[layout.Line:][:MutexSize], layout.KindMutex); err != nil {
		e.Unless(false, "its lock: %v", err)
		return
	}
	layout.MustAt[boxBody](e.Mem, 0).lock.lock.inspect(e, "lock", "holds the lock")
}

func totalOfValue(params [5]uint64) int64 {
	if params[1] < 1 || params[1] > math.MaxInt64/4 {
		return -1
	}
	return boxSize + 2*layout.Align(int64(params[1]), layout.Line)
}

func totalOfArray(params [5]uint64) int64 {
	if params[1] < 1 || params[2] < 1 || params[2] > (math.MaxInt64-boxSize)/params[1] {
		return -1
	}
	return boxSize + int64(params[1]*params[2])
}
