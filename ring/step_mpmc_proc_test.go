//go:build linux && amd64

package ring

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/singlestep"
	"github.com/shmkit/shmkit/semaphore"
)

const (
	stepPos  = 1<<64 - 6 // not at the start of the storage, and close to the wrap of positions
	stepHeld = 3         // items in the ring before, numbered from 1
)

var stepMPMC = MPMCOptions{Capacity: 6, ItemSize: 8, Participants: 3}

// An mpmcStep is an operation of a participant that is killed at every state of it.
type mpmcStep struct {
	operate func(m *MPMC)
	puts    int  // the numbers behind those that are there
	takes   int  // of those that are there, as one run
	waiter  bool // somebody has announced that it sleeps
	corpse  bool // another has died with a run reserved, and one taken
	asleep  bool
}

func stepTake(m *MPMC, n int) {
	r, ok, err := m.Take(n)
	stepRoom(nil, ok, err)
	if m.Slot(r, 0)[0] != 1 {
		panic("not the first item")
	}
	must(m.Release(r))
}

func stepPutRun(m *MPMC, n int) {
	r, ok, err := m.Reserve(n)
	stepRoom(nil, ok, err)
	for i := range n {
		copy(m.Slot(r, i), item(uint64(stepHeld+1+i)))
	}
	must(m.Commit(r))
}

func stepPutOne(m *MPMC) {
	ok, err := m.TryPut(item(stepHeld + 1))
	stepRoom(nil, ok, err)
}

var mpmcSteps = map[string]mpmcStep{
	"MPMC put":              {operate: stepPutOne, puts: 1},
	"MPMC put a run":        {operate: func(m *MPMC) { stepPutRun(m, 3) }, puts: 3},
	"MPMC put that wakes":   {operate: stepPutOne, puts: 1, waiter: true},
	"MPMC take":             {operate: func(m *MPMC) { stepTake(m, 1) }, takes: 1},
	"MPMC take a run":       {operate: func(m *MPMC) { stepTake(m, 9) }, takes: 3},
	"MPMC take that wakes":  {operate: func(m *MPMC) { stepTake(m, 2) }, takes: 2, waiter: true},
	"MPMC recover":          {operate: func(m *MPMC) { m.bury(1, 0) }, corpse: true},
	"MPMC close":            {operate: func(m *MPMC) { m.Close() }, waiter: true},
	"MPMC attach and leave": {operate: func(m *MPMC) { must(m.Detach()); must(m.attach()) }},
	"MPMC about to sleep": {operate: func(m *MPMC) {
		stepTake(m, 9)
		ticket := m.Items().Announce()
		if _, ok, err := m.Take(1); ok || err != nil {
			panic("it is not empty")
		}
		m.Items().Sleep(ticket, semaphore.Step*100)
	}, takes: 3, asleep: true},
}

// stepOthers are the operations of this file.
func stepOthers(operations map[string]singlestep.Operation) {
	for name, o := range mpmcSteps {
		operations[name] = func(f *os.File) func() {
			m, err := AttachMPMC(mapStepped(f))
			must(err)
			if o.waiter {
				m.Items().Announce()
				m.Room().Announce()
			}
			if o.corpse { // what it takes to know that is no part of it
				m.alive = func(owner.ID) bool { return false }
			}
			return func() { o.operate(m) }
		}
	}
	for name, o := range queueSteps {
		operations[name] = func(f *os.File) func() {
			q := new(Queue[string])
			must(q.Adopt(f, stepData()))
			b, _, err := q.large.arena.Alloc(int64(len(stepLarge))) // what it takes to make a span is no part of it
			must(err)
			q.large.arena.Free(b)
			return func() { o.operate(q) }
		}
	}
}

// A participant that is killed at any instruction leaves a ring that works: what it was putting is there as a whole or not at all, and
// what it had not released comes again, in order. No slot is lost, and no place in the table.
func TestStepMPMC(t *testing.T) {
	for name, o := range singlestep.Part(mpmcSteps) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				s, err := stepMPMC.shape(layout.KindMPMC)
				require.NoError(t, err)
				f, mem, release := newStepped(t, s.total)
				defer release()
				require.NoError(t, s.format(mem, stepPos))
				m := attachMPMC(t, mem)
				expected := []uint64{1, 2, 3}
				require.Equal(t, stepHeld, offer(t, m, 1, stepHeld))
				if o.corpse {
					dead := attachMPMC(t, mem)
					_, _, err := dead.Take(1)
					require.NoError(t, err)
					_, _, err = dead.Reserve(2)
					require.NoError(t, err)
					die(dead)
				}
				require.NoError(t, w.Run(name, f, nil, mem))
				require.True(t, !w.Whole() || w.Asleep == o.asleep)
				m.Recover()
				require.Zero(t, m.Recover(), "all the dead are buried")

				var got []uint64
				for some := takeAny(t, m); some != nil; some = takeAny(t, m) {
					got = append(got, some...)
				}
				for i := range o.puts {
					expected = append(expected, uint64(stepHeld+1+i))
				}
				switch {
				case o.takes > 0 && len(got) != len(expected):
					require.Equal(t, expected[o.takes:], append([]uint64{}, got...))
				case o.puts > 0 && len(got) != len(expected):
					require.Equal(t, expected[:stepHeld], got)
				default:
					require.Equal(t, expected, got)
				}
				require.True(t, !w.Returned || len(got) == len(expected)-o.takes, "what has returned has happened")
				m.ctl.closed.Store(0)
				for range 20 {
					require.Equal(t, 6, offer(t, m, 0, 9), "no slot is lost")
					require.Len(t, append(accept(t, m, 4), accept(t, m, 9)...), 6)
				}
				attachMPMC(t, mem)
				attachMPMC(t, mem)
			})
		})
	}
}

// takeAny takes some items, at the end of a closed ring none.
func takeAny(t *testing.T, m *MPMC) (got []uint64) {
	r, ok, err := m.Take(2)
	if m.Closed() && err != nil {
		return nil
	}
	require.NoError(t, err)
	if !ok {
		return nil
	}
	got = numbers(m, r)
	require.NoError(t, m.Release(r))
	return got
}

var (
	stepQueue = QueueOptions{Joinable: true, Capacity: 2, Participants: 3, Memory: 1 << 19}
	stepLarge = strings.Repeat("x", 200)
)

// queueSteps are operations on a queue that holds a large item and, if it is to be put, nothing.
var queueSteps = map[string]struct {
	operate func(q *Queue[string])
	puts    bool
}{
	"Queue put in a block": {func(q *Queue[string]) { stepRoomOnly(q.TryPut(stepLarge)) }, true},
	"Queue put in a slot":  {func(q *Queue[string]) { stepRoomOnly(q.TryPut("small")) }, true},
	"Queue get from a block": {func(q *Queue[string]) {
		v, ok, err := q.TryGet()
		stepRoom([]byte(v), ok, err)
	}, false},
	"Queue get and done": {func(q *Queue[string]) {
		v, ok, err := q.TryGet()
		stepRoom([]byte(v), ok, err)
		q.TaskDone()
	}, false},
}

func stepRoomOnly(ok bool, err error) { stepRoom(nil, ok, err) }

// stepData is what Share returns for such a queue.
func stepData() []byte {
	q := new(Queue[string])
	must(q.choose())
	s, err := q.shape(stepQueue)
	must(err)
	data := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(s.total)), s.print)
	return append(data, "wa"...) // as shm.Segment.Share says: writable, anonymous
}

// Whatever instruction a process is killed at, an item is there once, and no memory of the arena is lost.
func TestStepQueue(t *testing.T) {
	for name, o := range singlestep.Part(queueSteps) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				q, err := NewQueue[string](stepQueue)
				require.NoError(t, err)
				defer func() { require.NoError(t, q.Close()) }()
				before := 0
				if !o.puts {
					stepRoomOnly(q.TryPut(stepLarge))
					before = 1
				}
				ring := q.segment.Bytes()[:q.ring.total]
				arena := q.segment.Bytes()[arenaAt(q.ring.total):][:1<<14] // its words; who looks at the items sees what others see
				require.NoError(t, w.Run(name, q.segment.File(), nil, ring, arena))
				q.ring.Recover()
				n := 0
				for {
					v, ok, err := q.TryGet()
					require.NoError(t, err)
					if !ok {
						break
					}
					require.True(t, v == stepLarge || v == "small", "a whole item")
					q.TaskDone()
					n++
				}
				require.LessOrEqual(t, n, 1)
				require.True(t, !w.Returned || n == 1-before, "what has returned has happened")
				require.NoError(t, q.Join(soon(t)))
				_, _, err = q.ring.advance()
				require.NoError(t, err)
				q.large.arena.Sweep()
				require.Zero(t, q.large.arena.Stats().Blocks, "nothing of the dead stays")
				for range 3 {
					stepRoomOnly(q.TryPut(stepLarge))
					stepRoomOnly(q.TryPut(strings.Repeat("y", 1<<15)))
					v, ok, err := q.TryGet()
					stepRoom([]byte(v), ok, err)
					require.Equal(t, stepLarge, v)
					_, ok, err = q.TryGet()
					stepRoom(nil, ok, err)
				}
			})
		})
	}
}
