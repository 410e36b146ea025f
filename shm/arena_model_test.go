package shm_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/shm"
)

// A modelArena is what several processes do with an arena, and what is to come of it.
type modelArena struct {
	mem     []byte
	backing *strictBacking // nil if there is none
	arenas  []*shm.Arena
	holders []shm.Holder // of the arenas
	next    shm.Holder
	live    []modelBlock
	late    []shm.Block // as blocks were, and are no more
	seed    uint64
}

type modelBlock struct {
	shm.Block
	seed uint64
}

func newModelArena(t *rapid.T) *modelArena {
	n := rapid.SampledFrom([]int64{1, 3, 4, 9, 16, 24}).Draw(t, "units") * shm.UnitBytes
	page := rapid.SampledFrom([]int64{4096, 4096, shm.UnitBytes, 4 * shm.UnitBytes}).Draw(t, "page")
	m := &modelArena{mem: make([]byte, shm.ArenaSize(n, page)), next: 1}
	if rapid.Bool().Draw(t, "backed") {
		m.backing = newStrictBacking(m.mem, page)
		m.backing.keeps = rapid.Bool().Draw(t, "old kernel")
	}
	a, err := shm.NewArena(m.mem, n, page, m.next, m.asBacking())
	require.NoError(t, err)
	m.arenas, m.holders = []*shm.Arena{a}, []shm.Holder{m.next}
	for range rapid.SampledFrom([]int{3, 2, 1, 0}).Draw(t, "others") {
		m.arenas, m.holders = append(m.arenas, nil), append(m.holders, 0)
		m.attach(t, len(m.arenas)-1)
	}
	return m
}

func (m *modelArena) asBacking() shm.Backing {
	if m.backing == nil {
		return nil
	}
	return m.backing
}

func (m *modelArena) attach(t *rapid.T, i int) {
	m.next++
	a, err := shm.OpenArena(m.mem, m.next, m.asBacking())
	require.NoError(t, err)
	m.arenas[i], m.holders[i] = a, m.next
}

func (m *modelArena) anyArena(t *rapid.T) *shm.Arena {
	return rapid.SampledFrom(m.arenas).Draw(t, "by")
}

// pick draws a block that is held.
func (m *modelArena) pick(t *rapid.T) int {
	if len(m.live) == 0 {
		t.Skip("nothing is held")
	}
	return rapid.IntRange(0, len(m.live)-1).Draw(t, "block")
}

var modelSizes = rapid.OneOf(rapid.Int64Range(0, 1024), rapid.Int64Range(0, 40<<10),
	rapid.SampledFrom([]int64{32 << 10, 32<<10 + 1, shm.UnitBytes, shm.UnitBytes + 1, 3 * shm.UnitBytes, 5 * shm.UnitBytes, 10 * shm.UnitBytes}))

func (m *modelArena) alloc(t *rapid.T) {
	i := rapid.IntRange(0, len(m.arenas)-1).Draw(t, "by")
	a, n := m.arenas[i], modelSizes.Draw(t, "bytes")
	if m.backing != nil {
		m.backing.reserves = rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, 3}).Draw(t, "fails at")
	}
	b, zero, err := a.Alloc(n)
	if m.backing != nil {
		m.backing.reserves = 0
	}
	if err != nil {
		require.True(t, errors.Is(err, shm.ErrArenaFull) || errors.Is(err, shm.ErrNoMemory) || errors.Is(err, shm.ErrTooLarge) && n > a.Size(), err)
		return
	}
	require.GreaterOrEqual(t, b.Cap, n)
	require.Equal(t, m.holders[i], b.Holder())
	for _, other := range m.live {
		require.True(t, b.Off+b.Cap <= other.Off || other.Off+other.Cap <= b.Off, "%+v overlaps %+v", b, other)
	}
	if m.backing != nil {
		require.True(t, m.backing.has(b.Off, b.Cap), "%+v has no memory", b)
	}
	if mem := a.Bytes(b); zero {
		for i := 0; i < len(mem); i++ {
			require.True(t, mem[i] == 0, "byte %d of %d is not zero", i, len(mem))
		}
	}
	m.seed++
	paint(a.Bytes(b), m.seed)
	m.live = append(m.live, modelBlock{b, m.seed})
}

// gone notes that block k is not what it was.
func (m *modelArena) gone(k int) {
	m.late = append(m.late, m.live[k].Block)
	if len(m.late) > 64 {
		m.late = m.late[1:]
	}
}

func (m *modelArena) free(t *rapid.T) {
	a, k := m.anyArena(t), m.pick(t)
	require.True(t, a.Free(m.live[k].Block))
	m.gone(k)
	m.live = append(m.live[:k], m.live[k+1:]...)
}

func (m *modelArena) give(t *rapid.T) {
	a, k, to := m.anyArena(t), m.pick(t), rapid.SampledFrom(m.holders).Draw(t, "to")
	b, ok := a.Give(m.live[k].Block, to)
	require.True(t, ok)
	require.Equal(t, to, b.Holder())
	require.Equal(t, m.live[k].Frozen(), b.Frozen())
	m.gone(k)
	m.live[k].Block = b
}

func (m *modelArena) freeze(t *rapid.T) {
	a, k := m.anyArena(t), m.pick(t)
	b, ok := a.Freeze(m.live[k].Block)
	require.True(t, ok)
	require.True(t, b.Frozen())
	require.Equal(t, m.live[k].Holder(), b.Holder())
	m.gone(k)
	m.live[k].Block = b
}

// tooLate does something with a block as it was once.
func (m *modelArena) tooLate(t *rapid.T) {
	if len(m.late) == 0 {
		t.Skip("nothing is too late")
	}
	a, b := m.anyArena(t), rapid.SampledFrom(m.late).Draw(t, "late")
	_, given := a.Give(b, m.holders[0])
	_, frozen := a.Freeze(b)
	_, err := a.Find(b.Off, b.Cap, b.Word)
	require.False(t, given)
	require.False(t, frozen)
	require.False(t, a.Free(b))
	require.ErrorIs(t, err, os.ErrInvalid)
}

// die has one process end without a word, another reclaim, and a new one come.
func (m *modelArena) die(t *rapid.T) {
	i := rapid.IntRange(0, len(m.arenas)-1).Draw(t, "dead")
	if len(m.arenas) == 1 {
		t.Skip("nobody would be left")
	}
	if m.backing != nil && rapid.Bool().Draw(t, "in the midst of something") {
		m.dieAmid(t, m.arenas[i])
	}
	heir := m.arenas[(i+1)%len(m.arenas)]
	var left []modelBlock
	for k, b := range m.live {
		if b.Holder() == m.holders[i] {
			m.gone(k)
		} else {
			left = append(left, b)
		}
	}
	require.Equal(t, len(m.live)-len(left), heir.Reclaim(m.holders[i]))
	m.live = left
	m.attach(t, i)
}

// dieAmid begins something that ends when the memory is asked for. What was allocated nobody knows, and what was to be freed is
// none that the model has.
func (m *modelArena) dieAmid(t *rapid.T, a *shm.Arena) {
	op, n := rapid.IntRange(0, 3).Draw(t, "amid"), modelSizes.Draw(t, "bytes")
	m.backing.dies = rapid.IntRange(1, 4).Draw(t, "dies at")
	defer func() {
		m.backing.dies = 0
		if r := recover(); r != nil && r != errDied {
			panic(r)
		}
	}()
	switch op {
	case 0:
		a.TrimAll()
	case 1:
		a.Sweep()
	default:
		for range op {
			b, _, err := a.Alloc(n)
			if err != nil {
				return
			}
			if a.Free(b); op == 2 {
				a.Sweep()
			}
		}
	}
}

// check compares the arena with the model.
func (m *modelArena) check(t *rapid.T) {
	st, sum := m.anyArena(t).Stats(), int64(0)
	for _, b := range m.live {
		sum += b.Cap
		require.Equal(t, -1, unpainted(m.arenas[0].Bytes(b.Block), b.seed), "%+v", b)
		found, err := m.arenas[0].Find(b.Off, b.Cap, b.Word)
		require.NoError(t, err)
		require.Equal(t, b.Block, found)
		if m.backing != nil {
			require.True(t, m.backing.has(b.Off, b.Cap), "%+v has lost its memory", b)
		}
	}
	requireSum(t, st)
	require.Equal(t, sum, st.Blocks)
	require.Equal(t, len(m.live), st.Count)
	require.NoError(t, m.arenas[0].Check())
}

func TestArenaModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModelArena(t)
		t.Repeat(map[string]func(*rapid.T){
			"alloc": m.alloc, "alloc more": m.alloc, "free": m.free, "give": m.give, "freeze": m.freeze, "too late": m.tooLate, "die": m.die,
			"sweep":   func(t *rapid.T) { m.anyArena(t).Sweep() },
			"trim":    func(t *rapid.T) { m.anyArena(t).Trim() },
			"trimAll": func(t *rapid.T) { m.anyArena(t).TrimAll() },
			"":        m.check,
		})
		for _, b := range m.live {
			require.True(t, m.anyArena(t).Free(b.Block))
		}
		requireEmpty(t, m.arenas...)
		m.arenas[0].TrimAll()
		require.True(t, m.backing == nil || m.arenas[0].Stats().Backed == 0)
	})
}
