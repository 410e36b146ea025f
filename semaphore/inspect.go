package semaphore

import (
	"fmt"
	"io"
	"math/bits"

	"github.com/shmkit/shmkit/internal/exam"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/shm"
)

// Inspect looks from outside at the semaphore, lock or other object of this package's that begins at off in r, a file of shared memory or a copy, of which
// room bytes follow: how it stands, who has it, who waits, and what is as it must not be. It writes nothing, takes no lock, and returns within a bounded
// time, whatever is there. The error says that there is no such object, or that it cannot be read.
func Inspect(r io.ReaderAt, off, room int64) (*shm.Report, error) {
	kind, size, params, err := exam.Front(r, off)
	if err != nil {
		return nil, fmt.Errorf("inspect object: %w", err)
	}
	k, known := objects[kind]
	if !known {
		return nil, fmt.Errorf("inspect object: it is a %v: %w", kind, layout.ErrKind)
	}
	look, need := func(e *exam.Exam) { k.look(e, params) }, k.size
	total := need
	if k.total != nil {
		total = k.total(params)
	}
	switch {
	case size != k.size:
		look, need = wrongSize(size, k.size), layout.HeaderSize
	case total < 0:
		look, need = func(e *exam.Exam) { e.Unless(false, "parameters %d make no sense", params) }, layout.HeaderSize
	case total > room:
		look, need = wrongSize(room, total), layout.HeaderSize
	}
	rep, err := exam.Look(r, off, need, look)
	if err != nil {
		return nil, fmt.Errorf("inspect object: %w", err)
	}
	rep.Kind, rep.Size = kind.String(), min(max(total, size, layout.HeaderSize), room)
	return rep, nil
}

// An object is a kind of this package's.
type object struct {
	size  int64                        // that its header says
	total func(params [5]uint64) int64 // bytes that it takes, -1 if that cannot be; nil: its size
	look  func(*exam.Exam, [5]uint64)
}

var objects = map[layout.Kind]object{
	layout.KindSemaphore: {Size, nil, inspectSemaphore},
	layout.KindRobust:    {RobustSize, nil, inspectRobust},
	layout.KindMutex:     {MutexSize, nil, inspectMutex},
	layout.KindRWMutex:   {RWMutexSize, nil, inspectRWMutex},
	layout.KindEvent:     {EventSize, nil, inspectEvent},
	layout.KindCond:      {CondSize, nil, inspectCond},
	layout.KindBarrier:   {BarrierSize, nil, inspectBarrier},
	layout.KindOnce:      {OnceSize, nil, inspectOnce},
	layout.KindValue:     {boxSize, totalOfValue, inspectValue},
	layout.KindArray:     {boxSize, totalOfArray, inspectArray},
}

func wrongSize(says, has int64) func(*exam.Exam) {
	return func(e *exam.Exam) { e.Unless(false, "it should have %d bytes, and it has %d", has, says) }
}

// inspectClaims lists who waits for a turn.
func inspectClaims(e *exam.Exam, claim *[claims]uint64) {
	for i, id := range claim {
		if id != 0 {
			e.Unless(id&flags == 0 && owner.ID(id).Pid() != 0, "claim %d is that of no process: %#x", i, id)
			e.Party(owner.ID(id), "waits for a turn")
		}
	}
}

// inspectRoll looks at a table of participants, and calls each with those who are there.
func inspectRoll(e *exam.Exam, r *roll, each func(i int, id owner.ID, count uint64)) {
	n, ended := 0, false
	for i := range r.seats {
		switch id := r.seats[i].owner.Load(); id {
		case 0:
			ended = true
		case vacant:
			e.Unless(!ended || !e.Still, "seat %d was somebody's, and one before never was", i)
		default:
			e.Unless(!ended || !e.Still, "seat %d is somebody's, and one before never was", i)
			e.Unless(owner.ID(id).Pid() != 0, "seat %d is that of no process: %#x", i, id)
			n++
			each(i, owner.ID(id), r.seats[i].count.Load())
		}
	}
	e.Fact("handles", "%d", n)
}

func inspectSemaphore(e *exam.Exam, params [5]uint64) {
	b := layout.MustAt[body](e.Mem, 0)
	capacity, free := int64(params[0]), b.free.Load()
	e.Fact("permits", "%d free of %d", free, capacity)
	e.Unless(capacity > 0, "a capacity of %d", params[0])
	e.Unless(free >= 0 && free <= capacity, "more or fewer permits are free than there are")
	b.inspectWaiters(e)
}

// inspectWaiters is what plain and robust semaphores have in common.
func (b *body) inspectWaiters(e *exam.Exam) {
	e.Waiting("for one", b.single.Load())
	e.Waiting("for more", b.many.Load())
	e.Unless(turnOf(b.turn.Load()) <= claims, "the turn is that of claim %d", turnOf(b.turn.Load())-1)
	var words [claims]uint64
	for i := range words {
		words[i] = b.claim.word[i].Load()
	}
	inspectClaims(e, &words)
}

func inspectRobust(e *exam.Exam, params [5]uint64) {
	b := layout.MustAt[robustBody](e.Mem, 0)
	capacity := int64(params[0])
	if capacity < 1 || capacity > MaxRobust {
		e.Unless(false, "a capacity of %d", params[0])
		return
	}
	l := ledger{word: &b.free, capacity: capacity, width: bits.Len64(params[0])}
	w := l.load()
	free, sum := l.free(w), l.free(w)
	e.Fact("permits", "%d free of %d", free, capacity)
	e.Unless(free+l.held(w) <= capacity, "more permits are free, or held by one, than there are")
	inspectRoll(e, &b.roll, func(i int, id owner.ID, count uint64) {
		held := l.held(count)
		if i == l.seat(w) {
			held = l.held(w)
		}
		if sum += held; held > 0 {
			e.Party(id, "holds %d", held)
		}
	})
	e.Unless(!e.Still || sum <= capacity, "%d permits are free or held, of %d", sum, capacity)
	b.inspectWaiters(e)
}

func inspectEvent(e *exam.Exam, _ [5]uint64) {
	b := layout.MustAt[eventBody](e.Mem, 0)
	state := b.state.Load()
	e.Fact("state", "%s", [...]string{"not set", "set"}[state&isSet])
	e.Fact("cleared", "%d times", state/oneClear)
	e.Waiting("waiters", b.bell.Load())
}

func inspectOnce(e *exam.Exam, _ [5]uint64) {
	b := layout.MustAt[onceBody](e.Mem, 0)
	switch w := b.word.Load(); {
	case w == 0:
		e.Fact("state", "not done")
	case w == onceDone:
		e.Fact("state", "done")
	default:
		e.Fact("state", "being done")
		e.Unless(w&flags == 0 && owner.ID(w).Pid() != 0, "it is being done by no process: %#x", w)
		e.Party(owner.ID(w), "does it")
	}
	e.Waiting("waiters", b.changed.Load())
}

func inspectBarrier(e *exam.Exam, params [5]uint64) {
	b := layout.MustAt[barrierBody](e.Mem, 0)
	w := barrierWord(b.word.Load())
	e.Fact("parties", "%d of %d have arrived", w.count(), params[0])
	e.Unless(params[0] >= 1 && params[0] <= MaxParties, "it is for %d parties", params[0])
	e.Unless(uint64(w.count()) < params[0], "all parties have arrived, and the round goes on")
	if w.broken() {
		e.Fact("state", "broken")
	}
	e.Fact("round", "%d, after %d resets", w.number(), w.epoch())
	inspectRoll(e, &b.roll, func(_ int, id owner.ID, count uint64) {
		if count == markOf(w) {
			e.Party(id, "waits, or is about to")
		}
	})
	e.Waiting("waiters", b.changed.Load())
}
