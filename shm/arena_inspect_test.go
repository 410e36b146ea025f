package shm_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/shm"
)

// Whoever inspects an arena that rests sees what it says of itself, and finds nothing wrong.
func TestInspect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 40 * shm.UnitBytes
		m := newArenaMemory(t, size, 4096)
		a, err := shm.OpenArena(m.mem, 1, nil)
		require.NoError(t, err)
		var blocks []shm.Block
		small := 0
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if n := len(blocks); n > 0 && rapid.IntRange(0, 2).Draw(t, "free") == 0 {
				k := rapid.IntRange(0, n-1).Draw(t, "which")
				if blocks[k].Cap < shm.UnitBytes {
					small--
				}
				require.True(t, a.Free(blocks[k]))
				blocks = append(blocks[:k], blocks[k+1:]...)
				continue
			}
			b, _, err := a.Alloc(rapid.Int64Range(1, 5*shm.UnitBytes).Draw(t, "size") >> rapid.IntRange(0, 12).Draw(t, "shift"))
			if err == nil {
				blocks = append(blocks, b)
				if b.Cap < shm.UnitBytes {
					small++
				}
			}
		}
		before := bytes.Clone(m.mem)
		st, classes, odd, err := shm.Inspect(bytes.NewReader(append(make([]byte, 64), m.mem...)), 64, int64(len(m.mem)))
		require.NoError(t, err)
		require.Equal(t, a.Stats(), st)
		require.Empty(t, odd)
		held, spans := 0, 0
		for _, c := range classes {
			require.LessOrEqual(t, c.Held, c.Room)
			held, spans = held+c.Held, spans+c.Spans
		}
		require.Equal(t, small, held)
		require.Equal(t, st.Spans, spans)
		require.Equal(t, before, m.mem)
		require.Equal(t, m.data, shm.ArenaBooks(size, 4096))
	})
}

// FuzzInspect: whatever lies in front of an arena's blocks, it is refused or counted.
func FuzzInspect(f *testing.F) {
	m := newArenaMemory(f, fuzzUnits*shm.UnitBytes, 4096)
	a, err := shm.OpenArena(m.mem, 1, nil)
	require.NoError(f, err)
	for _, n := range []int64{1, 600, 40_000, 150_000} {
		_, _, err := a.Alloc(n)
		require.NoError(f, err)
	}
	f.Add(m.books())
	f.Add(m.books()[:200])
	f.Fuzz(func(t *testing.T, books []byte) {
		copy(m.mem, make([]byte, m.data))
		copy(m.mem[:m.data], books)
		st, _, odd, err := shm.Inspect(bytes.NewReader(m.mem), 0, int64(len(m.mem)))
		if err == nil {
			require.LessOrEqual(t, len(odd), 8)
			require.Equal(t, st.Size, st.Blocks+st.Slack+st.Free)
		}
	})
}
