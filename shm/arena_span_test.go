package shm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// attachTwo makes an arena on the heap for two holders.
func attachTwo(t *testing.T, n int64) (first, second *shm.Arena) {
	mem := make([]byte, shm.ArenaSize(n, 0))
	first, err := shm.NewArena(mem, n, 0, parentHolder, nil)
	require.NoError(t, err)
	second, err = shm.OpenArena(mem, 2, nil)
	require.NoError(t, err)
	return first, second
}

// fillSpan allocates all blocks that a span has.
func fillSpan(t *testing.T, a *shm.Arena, n int64) (blocks []shm.Block) {
	for spans := a.Stats().Spans; ; {
		b, _, err := a.Alloc(n)
		require.NoError(t, err)
		blocks = append(blocks, b)
		if st := a.Stats(); st.Spans == spans+1 && st.Slack < b.Cap {
			return blocks
		}
	}
}

// What others have freed is used again before there is a new span, whatever class was asked for in between.
func TestArenaUsesWhatOthersFreed(t *testing.T) {
	a, other := attachTwo(t, 4<<20)
	const one, two = 32 << 10, 16 << 10
	ones, twos := fillSpan(t, a, one), fillSpan(t, a, two)
	for _, b := range twos {
		require.True(t, other.Free(b))
	}
	b, _, err := a.Alloc(one)
	require.NoError(t, err)
	ones = append(ones, b)
	require.Equal(t, 3, a.Stats().Spans)
	for i := range twos {
		twos[i], _, err = a.Alloc(two)
		require.NoError(t, err)
	}
	require.Equal(t, 3, a.Stats().Spans)
	for _, b := range append(ones, twos...) {
		require.True(t, other.Free(b))
	}
	require.Equal(t, []shm.Holder{parentHolder}, other.Idle())
	require.Empty(t, a.Idle())
	requireEmpty(t, a, other)
}

// No block is ever like another that was there before.
func TestArenaWordsDoNotRecur(t *testing.T) {
	a, other := attachTwo(t, 4*shm.UnitBytes)
	seen := make(map[shm.Block]bool)
	see := func(b shm.Block) {
		b.Cap = 0 // a word alone tells
		require.False(t, seen[b], "%+v", b)
		seen[b] = true
	}
	sizes := []int64{512, 1 << 10, 512, 4 * shm.UnitBytes, shm.UnitBytes, 512}
	for i := range 200 {
		owner := []*shm.Arena{a, other}[i/7%2]
		b, _, err := owner.Alloc(sizes[i%len(sizes)])
		require.NoError(t, err)
		see(b)
		for range i % 5 {
			old, ok := b, false
			b, ok = owner.Give(b, 2)
			require.True(t, ok)
			require.False(t, owner.Free(old))
			see(b)
		}
		require.True(t, other.Free(b))
		a.Sweep()
		other.Sweep()
	}
	requireEmpty(t, a, other)
}

// Spans of a dead process in which others have blocks are used on by whoever reclaims.
func TestArenaInheritsSpans(t *testing.T) {
	a, other := attachTwo(t, 4<<20)
	mine := fillSpan(t, other, 4096)
	kept, ok := other.Give(mine[3], parentHolder)
	require.True(t, ok)
	paint(a.Bytes(kept), 5)
	_, _, err := other.Alloc(1 << 20)
	require.NoError(t, err)
	require.Equal(t, len(mine), a.Reclaim(2)) // one is the parent's, one is the run
	require.Equal(t, -1, unpainted(a.Bytes(kept), 5))
	require.Equal(t, 1, a.Stats().Count)
	require.Equal(t, 1, a.Stats().Spans)
	for range len(mine) - 1 {
		_, _, err := a.Alloc(4096)
		require.NoError(t, err)
	}
	require.Equal(t, 1, a.Stats().Spans)
	require.Zero(t, a.Reclaim(2))
	require.NoError(t, a.Check())
}
