package shm_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// newSegmentArena makes an arena that fills a segment.
func newSegmentArena(t *testing.T, n int64) (*shm.Arena, *shm.Segment) {
	s := newSegment(t, shm.ArenaSize(n, page))
	a, err := shm.NewArena(s.Bytes(), n, page, parentHolder, s)
	require.NoError(t, err)
	return a, s
}

func TestArenaInSegment(t *testing.T) {
	const size = 40 << 20
	a, s := newSegmentArena(t, size)
	require.EqualValues(t, page, backed(t, s), "the header")
	var live []shm.Block
	for i, n := range []int64{1, 5000, 33 << 10, 1 << 20, 20 << 20, 600} {
		before, st := backed(t, s), a.Stats()
		b, zero, err := a.Alloc(n)
		require.NoError(t, err)
		require.Equal(t, n > shm.MaxSmall, zero)
		after := backed(t, s)
		require.GreaterOrEqual(t, after-before, a.Stats().Backed-st.Backed)
		paint(a.Bytes(b), uint64(i))
		require.Equal(t, after, backed(t, s), "writing a block takes no memory")
		live = append(live, b)
	}
	kept := []int{1, 3}
	for i, b := range live {
		if i != kept[0] && i != kept[1] {
			require.True(t, a.Free(b))
		}
	}
	a.Sweep()
	full := backed(t, s)
	require.True(t, a.Trim(), "there is something")
	require.Equal(t, full, backed(t, s), "it stays for whoever allocates next")
	young, zero, err := a.Alloc(2 << 20)
	require.NoError(t, err)
	require.False(t, zero)
	require.Equal(t, full, backed(t, s), "memory that is there is used first")
	require.True(t, a.Free(young))

	require.True(t, a.Trim(), "what was used since stays")
	require.Less(t, backed(t, s), full-16<<20)
	require.False(t, a.Trim(), "then it goes")
	parts := backed(t, s) - a.Stats().Backed
	require.LessOrEqual(t, parts, int64(4*page), "header, words, and a record for each span")
	for _, i := range kept {
		require.Equal(t, -1, unpainted(a.Bytes(live[i]), uint64(i)))
		require.True(t, a.Free(live[i]))
	}
	again, zero, err := a.Alloc(20 << 20)
	require.NoError(t, err)
	require.True(t, zero == bytes.Equal(a.Bytes(again), make([]byte, again.Cap)))
	paint(a.Bytes(again), 5)
	require.True(t, a.Free(again))
	requireEmpty(t, a)
	a.TrimAll()
	require.Zero(t, a.Stats().Backed)
	require.LessOrEqual(t, backed(t, s), int64(2*page), "header and words")
	require.False(t, a.Trim())
}

// What is used together with what is being given back is not lost.
func TestArenaTrimLeavesSharedPages(t *testing.T) {
	const grain, units = 4, 16
	mem := make([]byte, shm.ArenaSize(units*shm.UnitBytes, grain*shm.UnitBytes))
	backing := newStrictBacking(mem, grain*shm.UnitBytes)
	a, err := shm.NewArena(mem, units*shm.UnitBytes, grain*shm.UnitBytes, parentHolder, backing)
	require.NoError(t, err)
	var live []shm.Block
	for i := range units {
		b, _, err := a.Alloc(shm.UnitBytes)
		require.NoError(t, err)
		paint(a.Bytes(b), uint64(i))
		live = append(live, b)
	}
	for i, b := range live {
		if i != 5 && i != 15 {
			require.True(t, a.Free(b))
		}
	}
	a.TrimAll()
	_, _, data := shm.ArenaParts(a.Size(), grain*shm.UnitBytes)
	assert.EqualValues(t, 2*grain*shm.UnitBytes, backing.backedFrom(data))
	for _, i := range []int{5, 15} {
		require.Equal(t, -1, unpainted(a.Bytes(live[i]), uint64(i)))
		require.True(t, a.Free(live[i]))
	}
	a.TrimAll()
	assert.Zero(t, backing.backedFrom(data))
	requireEmpty(t, a)
}

// Every single refusal of memory leaves all as it was.
func TestArenaBackingFails(t *testing.T) {
	sizes := []int64{600, 100_000, 30 << 10, 500_000, 1 << 20, 9 << 10}
	const size = 3 << 20
	for k, failed := 1, true; failed; k++ {
		mem := make([]byte, shm.ArenaSize(size, page))
		backing := newStrictBacking(mem, page)
		a, err := shm.NewArena(mem, size, page, parentHolder, backing)
		require.NoError(t, err)
		backing.reserves, failed = k, false
		for range 3 { // again, with holes between what has memory
			var live []shm.Block
			for _, n := range sizes {
				b, _, err := a.Alloc(n)
				if err != nil {
					require.ErrorIs(t, err, shm.ErrNoMemory)
					require.NoError(t, a.Check())
					failed = true
					b, _, err = a.Alloc(n)
					require.NoError(t, err, "the next time there is some")
				}
				require.True(t, backing.has(b.Off, b.Cap))
				live = append(live, b)
			}
			for i, b := range live {
				require.True(t, a.Free(b))
				if i == 1 {
					a.TrimAll()
				}
			}
			requireEmpty(t, a)
		}
		a.TrimAll()
		_, _, data := shm.ArenaParts(size, page)
		require.Zero(t, backing.backedFrom(data), k)
		require.True(t, failed || k > 15, "only %d calls", k)
	}
}

// Memory that cannot be given back stays usable, and is not taken for zero.
func TestArenaPunchFails(t *testing.T) {
	const size = 16 * shm.UnitBytes
	for k := 1; k < 8; k++ {
		mem := make([]byte, shm.ArenaSize(size, page))
		backing := newStrictBacking(mem, page)
		a, err := shm.NewArena(mem, size, page, parentHolder, backing)
		require.NoError(t, err)
		backing.punches = k
		for _, n := range []int64{size, shm.UnitBytes, 512, size} {
			b, zero, err := a.Alloc(n)
			require.NoError(t, err)
			require.True(t, backing.has(b.Off, b.Cap))
			require.True(t, !zero || bytes.Equal(a.Bytes(b), make([]byte, b.Cap)))
			paint(a.Bytes(b), 7)
			require.True(t, a.Free(b))
			a.Sweep()
			a.TrimAll()
		}
		requireEmpty(t, a)
		a.TrimAll()
		require.Zero(t, a.Stats().Backed)
	}
}

// Memory of a process that died in the midst of freeing is not taken for zero, whoever keeps it.
func TestArenaReclaimIsNotZero(t *testing.T) {
	const size, large = 8 * shm.UnitBytes, 4 * shm.UnitBytes
	for name, pageSize := range map[string]int64{"heap": page, "large pages": large} {
		t.Run(name, func(t *testing.T) {
			mem := make([]byte, shm.ArenaSize(size, pageSize))
			var backing shm.Backing
			if pageSize == large {
				b := newStrictBacking(mem, large)
				b.keeps, backing = true, b
			}
			a, err := shm.NewArena(mem, size, pageSize, parentHolder, backing)
			require.NoError(t, err)
			b, _, err := a.Alloc(size)
			require.NoError(t, err)
			paint(a.Bytes(b), 7)
			require.True(t, a.Free(b))
			words, _, _ := shm.ArenaParts(size, pageSize)
			word, err := shm.At[uint64](mem, words)
			require.NoError(t, err)
			const claimed = 1
			*word = shm.Word(claimed, 9, 100) // nobody else is there
			require.Zero(t, a.Reclaim(9))
			b, zero, err := a.Alloc(shm.UnitBytes)
			require.NoError(t, err)
			require.False(t, zero)
			require.True(t, a.Free(b))
			requireEmpty(t, a)
		})
	}
}

// A place that was never in use is not looked at: that would take memory.
func TestArenaFindTakesNoMemory(t *testing.T) {
	const units = 2000
	a, s := newSegmentArena(t, units*shm.UnitBytes)
	b, _, err := a.Alloc(1)
	require.NoError(t, err)
	before := backed(t, s)
	for u := range int64(units) {
		_, err := a.Find(b.Off+u*shm.UnitBytes, shm.UnitBytes, b.Word)
		require.Error(t, err)
	}
	require.Equal(t, before, backed(t, s))
	require.True(t, a.Free(b))
}
