//go:build linux && (amd64 || arm64)

package pool

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

// hoard is a pool without processes, in memory of the heap, and what its only worker would have of it.
type hoard struct {
	*Pool
	member *member
	worker *store
}

const hoardWorker = 1 // the worker's incarnation

func newHoard(t require.TestingT) *hoard {
	g := geometry{slots: 1, workers: 1, memory: 12 * memoryUnit, page: pageBytes}
	m, err := view(layout.SliceBytes(make([][layout.Line / 8]uint64, g.offsets().total/layout.Line)), g)
	require.NoError(t, err)
	a, err := shm.NewArena(m.arena(), g.memory, g.page, parentHolder, nil)
	require.NoError(t, err)
	home := heapEstate(m)
	home.store = &store{Arena: a, mem: m.arena()}
	p := newPool(Options{Name: "hoard", Workers: 1, MaxWorkers: 1, Queue: 1}, home)
	p.soiled.Store(true) // nobody tidies up later
	h := &hoard{Pool: p, member: p.newMember(0)}
	h.member.incarnation = hoardWorker
	p.members = append(p.members, h.member)
	a, err = shm.OpenArena(m.arena(), workerHolder(hoardWorker), nil)
	require.NoError(t, err)
	h.worker = &store{Arena: a, mem: m.arena()}
	return h
}

// A claim is what a worker says that its task has returned.
type claim struct {
	kind    place
	n       uint64
	inSlot  []byte
	near    []byte
	block   []byte // what lies in the block that the worker has allocated for it; if there is none, it has allocated none
	refer   byte   // which words of all that are replaced by those of real blocks, so that they are worth a look
	isError bool
}

// FuzzResult: whatever a worker says that its task has returned, wherever and however long it is said to be, the parent takes it, or
// fails the task, or finds the memory corrupted; it does not panic, the value is the program's own, each block of the arena is somebody's
// afterwards, and once the program has released its blocks it has none.
func FuzzResult(f *testing.F) {
	value := make([]byte, 40)
	f.Add(uint8(0), uint8(inline), uint64(8), value[:16], value, value[:0], uint8(0))
	f.Add(uint8(1), uint8(near), uint64(24), value[:16], append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 6}, value...), value[:0], uint8(0))
	f.Add(uint8(1), uint8(distant), uint64(100), value[:16], value, make([]byte, 600), uint8(1))
	f.Add(uint8(2), uint8(distant), uint64(300), value[:16], value, someTable(), uint8(3))
	f.Add(uint8(2), uint8(near), uint64(256), value[:16], someTable(), value, uint8(7))
	f.Add(uint8(3), uint8(near), uint64(2), value[:16], []byte{0x81, 1}, value, uint8(0))
	f.Add(uint8(0x84), uint8(near), uint64(40), value[:16], remoteError{Message: "m"}.encode(), value, uint8(0))
	f.Add(uint8(5), uint8(77), uint64(1)<<63, value[:16], value, value, uint8(0xff))
	f.Fuzz(func(t *testing.T, what, kind uint8, n uint64, inSlot, beside, block []byte, refer uint8) {
		c := claim{place(kind), n, inSlot, beside, block, refer, what >= 128}
		switch h := newHoard(t); what % 5 {
		case 0:
			claimResult(t, h, square, c)
		case 1:
			for i := range claimResult(t, h, echoBytes, c) {
				c.block = append(c.block, byte(i)) // it can be read
			}
		case 2:
			claimResult(t, h, haul, c)
		case 3:
			claimResult(t, h, echoAny, c)
		case 4:
			claimChunk(t, h, c)
		}
	})
}

// someTable refers to a block, a frozen one and a lent one, and has some value behind it.
func someTable() []byte {
	b := make([]byte, 300)
	putTable(b, []ref{
		{refBlock, [4]uint64{64, 64, 512, 1}}, {refFrozen, [4]uint64{64, 64, 512, 1}}, {refLent, [4]uint64{64, 64, 512, 1}},
	})
	for k := range 8 {
		binary.LittleEndian.PutUint64(b[tableBytes(3)+8*k:], uint64(k%3+1))
	}
	return b
}

// claimResult has a task of f end with the claim.
func claimResult[In, Out any](t *testing.T, h *hoard, f *Function[In, Out], c claim) Out {
	fut := &Future[Out]{promise: promise{origin: &h.origins[f.def.id]}}
	h.launched(&fut.promise, h.entries[0].block)
	h.entries[0].out = f.destination(fut)
	h.claimed(t, c)
	require.True(t, fut.finished())
	out, err := fut.result()
	if err == nil {
		f.out.EachHandle(&out, func(b any) {
			if b := b.(handle); b.inner().state.Load() == coreHeld {
				b.Release()
			}
		})
	}
	h.requireTidy(t)
	return out
}

// claimChunk has a chunk end so.
func claimChunk(t *testing.T, h *hoard, c claim) {
	const n = 5
	b, _, err := h.store.Alloc(square.chunkSize(n))
	require.NoError(t, err)
	part := &part{promise: promise{origin: &h.origins[square.def.id]}, block: b, n: n}
	part.more = &more{part: part}
	h.launched(&part.promise, b)
	h.arguments = b.Cap
	state := h.mem.progress(0)
	state.next.Store(c.n >> 8 % 8)
	if c.refer > 200 {
		state.next.Store(c.n)
	}
	h.claimed(t, c)
	require.True(t, part.finished() || h.broken != nil)
	require.True(t, part.next >= 0 && part.next <= n)
	if !part.owned {
		b = h.entries[0].block
	}
	h.freeArgument(b)
	h.requireTidy(t)
}

// launched enters the task as one that the worker runs.
func (h *hoard) launched(pr *promise, b shm.Block) {
	h.freeSlots, h.outstanding = nil, 1
	e := &h.entries[0]
	e.gen, e.task, e.def, e.live, e.block = 1, pr, pr.def, true, b
	pr.state.Store(uint64(makeTaskID(0, 1)))
}

// claimed writes what the worker says, and has the parent look.
func (h *hoard) claimed(t *testing.T, c claim) {
	var real []shm.Block
	for range 3 {
		if b, _, err := h.worker.Alloc(int64(max(len(c.block), 1))); err == nil && len(c.block) < 1<<16 {
			if len(real) == 1 { // one of each kind
				b, _ = h.worker.Freeze(b)
			}
			real = append(real, b)
		}
	}
	s := &h.mem.slots[0]
	copy(s.res[:], c.inSlot)
	copy(h.mem.resNear(0), c.near)
	for _, b := range real {
		copy(h.worker.Bytes(b), c.block)
	}
	if len(real) == 3 {
		c.referTo(real, s, h.mem.resNear(0), h.worker.Bytes(real[0]))
	}
	s.resKind, s.resLen = c.kind, c.n
	state := done
	if c.isError {
		state = failed
	}
	s.word.Store(uint64(makeWord(state, hoardWorker, 1)))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settle(0, h.member)
	for h.inside > 0 { // a large one is copied aside
		h.outside.Wait()
	}
}

// referTo replaces what may be references by such to real blocks.
func (c claim) referTo(real []shm.Block, s *slot, tables ...[]byte) {
	if c.refer&1 != 0 {
		binary.LittleEndian.PutUint64(s.res[:], uint64(real[0].Off))
		binary.LittleEndian.PutUint64(s.res[8:], real[0].Word)
	}
	for _, table := range tables {
		refs, _, err := getTable(table)
		if err != nil || c.refer&2 == 0 {
			continue
		}
		for k := range refs {
			b, r := real[k%len(real)], refs[k]
			if c.refer&4 == 0 {
				b = real[1+k%2]
			}
			size := r.w[1]
			if c.refer&8 == 0 {
				size = uint64(b.Cap) / 8 * 8
			}
			putRef(table, k, blockRef(r.kind, b, int64(size)))
		}
	}
}

// requireTidy: the parent has nothing left, and nothing is lost.
func (h *hoard) requireTidy(t *testing.T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken == nil {
		require.Zero(t, h.outstanding)
		require.False(t, h.entries[0].live)
		require.Equal(t, free, word(h.mem.slots[0].word.Load()).state())
	}
	require.Zero(t, h.home.blocks)
	require.Zero(t, h.arguments)
	h.worker.Sweep()
	h.store.Reclaim(workerHolder(hoardWorker))
	require.Zero(t, h.store.Stats().Count, "blocks that nobody has")
	require.NoError(t, h.store.Check())
}

// FuzzArgument: what a worker takes for its argument lies where arguments do, and is as long as it is said to be; else it is an error.
func FuzzArgument(f *testing.F) {
	h := newHoard(f)
	w := h.mem.newWorker(0)
	w.store = h.worker
	f.Add(uint8(inline), uint64(16), uint64(0))
	f.Add(uint8(inline), uint64(inlineBytes+1), uint64(0))
	f.Add(uint8(near), uint64(nearBytes), uint64(0))
	f.Add(uint8(near), uint64(nearBytes+1), uint64(0))
	f.Add(uint8(distant), uint64(100), uint64(4096))
	f.Add(uint8(distant), ^uint64(0), uint64(1))
	f.Add(uint8(chunked), uint64(0), ^uint64(0))
	f.Fuzz(func(t *testing.T, kind uint8, n, off uint64) {
		s := &h.mem.slots[0]
		s.argKind, s.argLen = place(kind), n
		binary.LittleEndian.PutUint64(s.arg[:], off)
		arg, err := w.argument(0)
		if err != nil {
			require.Nil(t, arg)
			return
		}
		require.Len(t, arg, int(n))
		require.Equal(t, int(n), cap(arg))
		if n > 0 {
			require.LessOrEqual(t, layout.Offset(h.mem.bytes, &arg[0])+len(arg), len(h.mem.bytes))
		}
	})
}
