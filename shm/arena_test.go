package shm_test

import (
	"fmt"
	"log"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// parentHolder is what tests attach as that need one holder only.
const parentHolder shm.Holder = 1

func newArena(t testing.TB, n int64) *shm.Arena {
	a, err := shm.NewArena(make([]byte, shm.ArenaSize(n, 0)), n, 0, parentHolder, nil)
	require.NoError(t, err)
	return a
}

// requireEmpty fails unless nothing is held and nothing is lost.
func requireEmpty(t require.TestingT, arenas ...*shm.Arena) {
	for _, a := range arenas {
		a.Sweep()
	}
	for _, a := range arenas {
		st := a.Stats()
		require.Zero(t, st.Count, st)
		require.Zero(t, st.Spans, st)
		require.Equal(t, st.Size, st.Free, st)
		require.NoError(t, a.Check())
	}
}

// requireSum fails unless all bytes of the arena are accounted for.
func requireSum(t require.TestingT, st shm.ArenaStats) {
	require.Equal(t, st.Size, st.Blocks+st.Slack+st.Free, st)
}

// paint writes a pattern of its own into a block's memory.
func paint(mem []byte, seed uint64) {
	for i := 0; i < len(mem); i += 64 {
		mem[i] = shade(seed, i)
	}
	mem[len(mem)-1] = shade(seed, len(mem)-1)
}

// unpainted returns where the pattern is damaged, -1 if it is not.
func unpainted(mem []byte, seed uint64) int {
	for i := 0; i < len(mem)-1; i += 64 {
		if mem[i] != shade(seed, i) {
			return i
		}
	}
	if last := len(mem) - 1; mem[last] != shade(seed, last) {
		return last
	}
	return -1
}

func shade(seed uint64, i int) byte { return byte((seed + uint64(i)/64) * 0x9E3779B97F4A7C15 >> 56) }

func TestArenaClasses(t *testing.T) {
	sizes := shm.ClassSizes()
	for i, size := range sizes {
		assert.Zero(t, size%128, "aligned")
		if i > 0 {
			assert.Greater(t, size, sizes[i-1])
		}
	}
	assert.EqualValues(t, 512, sizes[0])
	assert.EqualValues(t, shm.MaxSmall, sizes[len(sizes)-1])
	for n := int64(0); n <= shm.MaxSmall; n++ {
		class := shm.ClassOfSize(n)
		require.GreaterOrEqual(t, sizes[class], n)
		require.True(t, class == 0 || sizes[class-1] < n, "%d bytes fit a smaller class", n)
		if n > 512 {
			require.LessOrEqual(t, 4*(sizes[class]-n), n, "%d bytes get %d", n, sizes[class])
		}
	}
}

func TestArenaBlockSizes(t *testing.T) {
	a := newArena(t, 64<<20)
	for n, want := range map[int64]int64{
		0: 512, 1: 512, 512: 512, 513: 640, 640: 640, 641: 768, 4096: 4096, 4097: 5120,
		32 << 10: 32 << 10, 32<<10 + 1: 64 << 10, 64 << 10: 64 << 10, 64<<10 + 1: 128 << 10, 64 << 20: 64 << 20,
	} {
		b, _, err := a.Alloc(n)
		require.NoError(t, err, n)
		assert.Equal(t, want, b.Cap, n)
		assert.Zero(t, b.Off%64)
		assert.Equal(t, parentHolder, b.Holder())
		assert.False(t, b.Frozen())
		assert.Len(t, a.Bytes(b), int(want))
		assert.Equal(t, int(want), cap(a.Bytes(b)))
		requireSum(t, a.Stats())
		require.NoError(t, a.Check())
		require.True(t, a.Free(b))
		require.False(t, a.Free(b), "a second time")
		requireEmpty(t, a)
	}
}

// All blocks of a class, in as many spans as there are, lie apart from each other.
func TestArenaFillsUp(t *testing.T) {
	for _, n := range []int64{512, 700, 20000, 32 << 10, 64 << 10, 192 << 10} {
		const size = 10 * shm.UnitBytes // two spans, and two units for which there is no span
		a := newArena(t, size)
		var blocks []shm.Block
		for {
			b, _, err := a.Alloc(n)
			if err != nil {
				require.ErrorIs(t, err, shm.ErrArenaFull)
				assert.EqualError(t, err, fmt.Sprintf("allocate %d bytes: no room in the arena now", n))
				break
			}
			paint(a.Bytes(b), uint64(b.Off))
			blocks = append(blocks, b)
		}
		for _, b := range blocks {
			require.Equal(t, -1, unpainted(a.Bytes(b), uint64(b.Off)))
		}
		st := a.Stats()
		require.Equal(t, len(blocks), st.Count)
		if n > shm.MaxSmall {
			require.Less(t, st.Free, n)
		} else {
			require.Zero(t, st.Free, "single units are used")
		}
		require.NoError(t, a.Check())
		for _, b := range blocks {
			require.True(t, a.Free(b))
		}
		b, _, err := a.Alloc(size) // nothing is kept that is not needed
		require.NoError(t, err)
		require.True(t, a.Free(b))
		requireEmpty(t, a)
	}
}

// A small block that has a unit of its own is found by the length that is used of it, and freed as that.
func TestArenaFindShorter(t *testing.T) {
	for _, size := range []int64{1, 4 * shm.UnitBytes} {
		a := newArena(t, size)
		b, _, err := a.Alloc(700)
		require.NoError(t, err)
		for _, n := range []int64{0, 1, 700, b.Cap} {
			found, err := a.Find(b.Off, n, b.Word)
			require.NoError(t, err, n)
			require.Equal(t, shm.Block{Off: b.Off, Cap: n, Word: b.Word}, found)
		}
		found, err := a.Find(b.Off, 3, b.Word)
		require.NoError(t, err)
		found, ok := a.Give(found, 2)
		require.True(t, ok)
		other, err := a.Find(b.Off, 3, found.Word)
		require.NoError(t, err)
		assert.EqualValues(t, 2, other.Holder())
		require.True(t, a.Free(other))
		requireEmpty(t, a)
	}
}

func TestArenaFindRefuses(t *testing.T) {
	a := newArena(t, 16*shm.UnitBytes)
	small, _, err := a.Alloc(600)
	require.NoError(t, err)
	run, _, err := a.Alloc(3 * shm.UnitBytes)
	require.NoError(t, err)
	free, _, err := a.Alloc(600)
	require.NoError(t, err)
	require.True(t, a.Free(free))
	_, _, data := shm.ArenaParts(a.Size(), 0)
	for _, b := range []shm.Block{
		{}, {Off: -1, Cap: 1}, {Off: math.MinInt64, Cap: 1}, {Off: math.MaxInt64, Cap: math.MaxInt64}, {Off: data, Cap: -1, Word: small.Word},
		{Off: small.Off, Cap: 641, Word: small.Word}, {Off: small.Off + 64, Cap: 1, Word: small.Word}, {Off: small.Off, Cap: math.MaxInt64, Word: small.Word},
		{Off: small.Off, Cap: 600, Word: small.Word + 1}, {Off: run.Off, Cap: run.Cap + 1, Word: run.Word}, {Off: run.Off + 1, Cap: 1, Word: run.Word},
		{Off: run.Off + shm.UnitBytes, Cap: shm.UnitBytes, Word: run.Word}, {Off: run.Off, Cap: math.MaxInt64, Word: run.Word},
		{Off: free.Off, Cap: free.Cap, Word: free.Word}, {Off: free.Off, Cap: free.Cap},
		{Off: data + 15*shm.UnitBytes, Cap: shm.UnitBytes}, {Off: data + 16*shm.UnitBytes}, {Off: data + 16*shm.UnitBytes, Cap: 1},
	} {
		_, err := a.Find(b.Off, b.Cap, b.Word)
		require.ErrorIs(t, err, os.ErrInvalid, "%+v", b)
		require.ErrorContains(t, err, fmt.Sprintf("%d bytes at %d are not ", b.Cap, b.Off))
		for _, op := range []func(shm.Block) (shm.Block, bool){a.Freeze, func(b shm.Block) (shm.Block, bool) { return a.Give(b, 2) }} {
			_, ok := op(b)
			require.False(t, ok, "%+v", b)
		}
		require.False(t, a.Free(b), "%+v", b)
	}
	require.NoError(t, a.Check())
	require.Equal(t, 2, a.Stats().Count)
	require.True(t, a.Free(small))
	require.True(t, a.Free(run))
	requireEmpty(t, a)
}

func TestArenaRequests(t *testing.T) {
	a := newArena(t, 100_000)
	assert.EqualValues(t, 2*shm.UnitBytes, a.Size())
	_, _, err := a.Alloc(a.Size() + 1)
	require.ErrorIs(t, err, shm.ErrTooLarge)
	assert.EqualError(t, err, "allocate 131073 bytes: the arena has 131072: larger than the arena")
	_, _, err = a.Alloc(math.MaxInt64)
	require.ErrorIs(t, err, shm.ErrTooLarge)
	_, _, err = a.Alloc(-1)
	require.ErrorIs(t, err, os.ErrInvalid)
	assert.ErrorContains(t, err, "allocate -1 bytes")
	b, zero, err := a.Alloc(a.Size())
	require.NoError(t, err)
	assert.True(t, zero)
	_, _, err = a.Alloc(0)
	require.ErrorIs(t, err, shm.ErrArenaFull)
	for _, h := range []shm.Holder{0, shm.MaxHolder + 1} {
		assert.Panics(t, func() { a.Give(b, h) })
	}
	assert.Panics(t, func() { a.Reclaim(parentHolder) })
	require.True(t, a.Free(b))
	requireEmpty(t, a)
}

func ExampleArena() {
	mem := make([]byte, shm.ArenaSize(1<<20, 0)) // for other processes, the bytes of a Segment, which is then the Backing
	a, err := shm.NewArena(mem, 1<<20, 0, 1, nil)
	if err != nil {
		log.Fatal(err)
	}
	b, _, err := a.Alloc(100_000)
	if err != nil {
		log.Fatal(err)
	}
	copy(a.Bytes(b), "hello")
	b, _ = a.Give(b, 2) // to whom the block is then sent

	other, err := shm.OpenArena(mem, 2, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %d %v\n", other.Bytes(b)[:5], b.Cap, other.Free(b))
	// Output: hello 131072 true
}

func BenchmarkArena(b *testing.B) {
	for _, n := range []int64{512, 4096, 32768, 65536, 1 << 20} {
		a := newArena(b, 64<<20)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				blk, _, _ := a.Alloc(n)
				a.Free(blk)
			}
		})
	}
}
