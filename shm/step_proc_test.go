//go:build linux && amd64

package shm_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/singlestep"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

const (
	stepUnits = 12
	stepBytes = stepUnits * shm.UnitBytes

	steppedHolder shm.Holder = 3 // who is stepped
	deadHolder    shm.Holder = 4 // who was dead before
	heirHolder    shm.Holder = 5 // a third, to whom blocks are given
)

// plainBacking takes and gives memory back without a look at what the machine has left: those who are stepped would have to read files
// instruction by instruction.
type plainBacking struct{ *os.File }

func (b plainBacking) Reserve(off, n int64) error { return sys.Allocate(b.File, off, n) }
func (b plainBacking) Punch(off, n int64) error   { return sys.Punch(b.File, off, n) }

// A handling is an operation on an arena of which the parent holds a small block and a run, and has a span.
type handling struct {
	before  func(h *handled)                     // by the parent
	prepare func(a *shm.Arena)                   // by the child, before it is stepped
	size    int64                                // of what it holds then; default: stepSmall
	operate func(a *shm.Arena, held []shm.Block) // by the child
	after   func(h *handled)                     // by the parent, before it looks at what there is
}

// handled is the parent's side of a walk.
type handled struct {
	t    *testing.T
	w    *singlestep.Walk
	seg  *shm.Segment
	a    *shm.Arena
	live []modelBlock // of the parent
}

// hold has the parent hold a block, and returns it.
func (h *handled) hold(n int64) shm.Block {
	b, _, err := h.a.Alloc(n)
	require.NoError(h.t, err)
	paint(h.a.Bytes(b), uint64(len(h.live)))
	h.live = append(h.live, modelBlock{b, uint64(len(h.live))})
	return b
}

// handOn gives the child, or somebody who is dead, the block that was held last.
func (h *handled) handOn(to shm.Holder) {
	last := len(h.live) - 1
	_, ok := h.a.Give(h.live[last].Block, to)
	require.True(h.t, ok)
	h.live = h.live[:last]
}

// open attaches to the arena as somebody else.
func (h *handled) open(as shm.Holder) *shm.Arena {
	a, err := shm.OpenArena(h.seg.Bytes(), as, plainBacking{h.seg.File()})
	require.NoError(h.t, err)
	return a
}

// blocksOf returns the blocks of that size, in a span or alone, that a holder has.
func blocksOf(a *shm.Arena, holder shm.Holder, size int64) (found []shm.Block) {
	_, _, data := shm.ArenaParts(stepBytes, page)
	for off := data; off <= data+stepBytes-size; off += min(size, shm.UnitBytes) {
		if b, err := a.Look(off, size); err == nil && b.Holder() == holder {
			found = append(found, b)
		}
	}
	return found
}

const stepSmall = 16 << 10 // as large as the blocks of a class, of which a unit has four

func mustBlock(a *shm.Arena, n int64) shm.Block {
	b, _, err := a.Alloc(n)
	if err != nil {
		panic(err)
	}
	return b
}

func mustDo(ok bool) {
	if !ok {
		panic("it cannot be done")
	}
}

func give(h *handled) {
	h.hold(stepSmall)
	h.handOn(steppedHolder)
}

func allocSmall(a *shm.Arena, _ []shm.Block) { mustBlock(a, stepSmall) }
func allocRun(a *shm.Arena, _ []shm.Block)   { mustBlock(a, 3*shm.UnitBytes) }

func haveSmall(a *shm.Arena) { mustBlock(a, stepSmall) }
func haveRun(a *shm.Arena)   { mustBlock(a, 3*shm.UnitBytes) }

func freeAll(a *shm.Arena, held []shm.Block) {
	for _, b := range held {
		mustDo(a.Free(b))
	}
}

func reclaim(a *shm.Arena, _ []shm.Block) { a.Reclaim(deadHolder) }

var handlings = map[string]handling{
	"Alloc of a small block in a new span": {operate: allocSmall},
	"Alloc of a small block":               {prepare: haveSmall, operate: allocSmall},
	"Alloc of the last freed": {
		prepare: func(a *shm.Arena) { mustDo(a.Free(mustBlock(a, stepSmall))) },
		operate: allocSmall,
	},
	"Alloc of a run": {operate: allocRun},
	"Alloc of a run that was used": {
		prepare: func(a *shm.Arena) { mustDo(a.Free(mustBlock(a, 3*shm.UnitBytes))) },
		operate: allocRun,
	},
	"Free of an own block": {prepare: haveSmall, operate: freeAll},
	"Free of two, one over the stash": {
		prepare: func(a *shm.Arena) { haveSmall(a); haveSmall(a) },
		operate: freeAll,
	},
	"Free of another's": {before: give, operate: freeAll},
	"Free of a run":     {prepare: haveRun, size: 3 * shm.UnitBytes, operate: freeAll},
	"Give": {
		prepare: haveSmall,
		operate: func(a *shm.Arena, held []shm.Block) { _, ok := a.Give(held[0], parentHolder); mustDo(ok) },
		after:   takeGiven,
	},
	"Freeze": {
		prepare: haveSmall,
		operate: func(a *shm.Arena, held []shm.Block) { _, ok := a.Freeze(held[0]); mustDo(ok) },
	},
	"Sweep of a span that another has emptied": {
		prepare: emptiedByAnother,
		operate: func(a *shm.Arena, _ []shm.Block) { a.Sweep() },
	},
	"TrimAll": {before: (*handled).leaveFree, operate: func(a *shm.Arena, _ []shm.Block) { a.TrimAll() }},
	"Trim": {
		before:  func(h *handled) { h.leaveFree(); h.a.Trim() },
		operate: func(a *shm.Arena, _ []shm.Block) { a.Trim() },
	},
	"Reclaim":                    {before: (*handled).leaveDead, operate: reclaim},
	"Reclaim of a half made run": {before: (*handled).leaveHalf, operate: reclaim},
}

var steppedMemory []byte // of the child

// emptiedByAnother leaves a span whose only block was given away and freed there.
func emptiedByAnother(a *shm.Arena) {
	other, err := shm.OpenArena(steppedMemory, heirHolder, nil)
	mustDo(err == nil)
	given, ok := a.Give(mustBlock(a, stepSmall), heirHolder)
	mustDo(ok && other.Free(given))
}

// takeGiven has the parent hold what the child may have given it.
func takeGiven(h *handled) {
	for _, b := range blocksOf(h.a, parentHolder, stepSmall) {
		if b.Cap == stepSmall && b.Off != h.live[0].Off && b.Off != h.live[1].Off {
			paint(h.a.Bytes(b), 77)
			h.live = append(h.live, modelBlock{b, 77})
		}
	}
}

// leaveFree leaves units that have memory and are free.
func (h *handled) leaveFree() {
	b := h.hold(4 * shm.UnitBytes)
	h.live = h.live[:len(h.live)-1]
	require.True(h.t, h.a.Free(b))
}

// leaveDead has somebody die with blocks of every kind.
func (h *handled) leaveDead() {
	dead := h.open(deadHolder)
	mustBlock(dead, 2*shm.UnitBytes)
	mustBlock(dead, stepSmall)
	given, ok := dead.Give(mustBlock(dead, stepSmall), parentHolder)
	require.True(h.t, ok)
	paint(h.a.Bytes(given), 99)
	h.live = append(h.live, modelBlock{given, 99})
	require.True(h.t, dead.Free(mustBlock(dead, stepSmall)), "it is in the stash")
	_, ok = dead.Freeze(mustBlock(dead, shm.UnitBytes))
	require.True(h.t, ok)
	h.hold(stepSmall)
	h.handOn(deadHolder)
}

// dyingBacking ends who asks for memory.
type dyingBacking struct{ plainBacking }

func (dyingBacking) Reserve(int64, int64) error { panic(errDied) }

// leaveHalf has somebody die who has taken units, and has not got the memory for them.
func (h *handled) leaveHalf() {
	dead, err := shm.OpenArena(h.seg.Bytes(), deadHolder, dyingBacking{plainBacking{h.seg.File()}})
	require.NoError(h.t, err)
	require.PanicsWithValue(h.t, errDied, func() { mustBlock(dead, 3*shm.UnitBytes) })
}

func init() {
	operations := make(map[string]singlestep.Operation)
	for name, o := range handlings {
		operations[name] = func(f *os.File) func() {
			s, err := shm.Attach(f)
			mustDo(err == nil)
			steppedMemory = s.Bytes()
			a, err := shm.OpenArena(steppedMemory, steppedHolder, plainBacking{f})
			mustDo(err == nil)
			if o.prepare != nil {
				o.prepare(a)
			}
			held := blocksOf(a, steppedHolder, max(o.size, stepSmall))
			return func() { o.operate(a, held) }
		}
	}
	singlestep.Child(operations)
}

// Killed at any instruction of whatever it does with an arena, a process leaves what a survivor puts in order: blocks of
// others stay as they are, and all the rest can be allocated again. So is who puts it in order.
func TestStepArena(t *testing.T) {
	for name, o := range singlestep.Part(handlings) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				seg, err := shm.New("step", shm.ArenaSize(stepBytes, page))
				require.NoError(t, err)
				defer func() { require.NoError(t, seg.Close()) }()
				h := &handled{t: t, w: w, seg: seg}
				h.a, err = shm.NewArena(seg.Bytes(), stepBytes, page, parentHolder, plainBacking{seg.File()})
				require.NoError(t, err)
				h.hold(stepSmall)
				h.hold(shm.UnitBytes)
				if o.before != nil {
					o.before(h)
				}
				require.NoError(t, w.Run(name, seg.File(), nil, books(seg.Bytes())...))
				if o.after != nil {
					o.after(h)
				}
				h.requireOrder()
			})
		})
	}
}

// books returns all of the arena that is no block, but for words of blocks that nobody allocates here: a new span has hundreds,
// written by one loop, and of these the ends are enough.
func books(mem []byte) [][]byte {
	const ends = 128
	_, records, _ := shm.ArenaParts(stepBytes, page)
	all := [][]byte{mem[:records]}
	for r := range int64(stepUnits / 4) {
		record := mem[records+r*page:][:page]
		all = append(all, record[:ends], record[page-ends/4:])
	}
	return all
}

// requireOrder has survivors put the arena in order and use it up.
func (h *handled) requireOrder() {
	requireSum(h.t, h.a.Stats())
	h.requireLive() // before
	for _, dead := range []shm.Holder{steppedHolder, deadHolder, heirHolder} {
		h.a.Reclaim(dead)
	}
	require.NoError(h.t, h.a.Check())
	st := h.a.Stats()
	requireSum(h.t, st)
	require.Equal(h.t, len(h.live), st.Count, "what is held is what the living hold: %v", st)
	h.requireLive()
	h.fill()
	for _, b := range h.live {
		require.Equal(h.t, -1, unpainted(h.a.Bytes(b.Block), b.seed))
		require.True(h.t, h.a.Free(b.Block))
	}
	requireEmpty(h.t, h.a)
	all := mustBlock(h.a, stepBytes)
	clear(h.a.Bytes(all))
	require.True(h.t, h.a.Free(all))
	h.a.TrimAll()
	require.Zero(h.t, h.a.Stats().Backed)
}

// requireLive expects that the blocks of the living are as they were.
func (h *handled) requireLive() {
	for _, b := range h.live {
		found, err := h.a.Find(b.Off, b.Cap, b.Word)
		require.NoError(h.t, err)
		require.Equal(h.t, b.Block, found)
		require.Equal(h.t, -1, unpainted(h.a.Bytes(b.Block), b.seed), "%+v", b)
	}
}

// fill holds small blocks until there is no room: as many as fit beside what is held.
func (h *handled) fill() {
	st := h.a.Stats()
	var more []shm.Block
	for {
		b, _, err := h.a.Alloc(stepSmall)
		if err != nil {
			require.ErrorIs(h.t, err, shm.ErrArenaFull)
			break
		}
		paint(h.a.Bytes(b), 1)
		more = append(more, b)
	}
	require.GreaterOrEqual(h.t, len(more), int(st.Free/shm.UnitBytes), "each free unit has room for one")
	h.requireLive()
	for _, b := range more {
		require.True(h.t, h.a.Free(b))
	}
}
