package shm_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/shm"
)

// A vandal stores anything into the words of an arena, but most likely what could be one.
type vandal struct {
	mem                  []byte
	words, records, data int64
}

var hostileWords = rapid.OneOf(
	rapid.Uint64(),
	rapid.SampledFrom([]uint64{0, 1, ^uint64(0), 1 << 63}),
	rapid.Custom(func(t *rapid.T) uint64 {
		state, holder := rapid.Uint8Range(0, 7).Draw(t, "state"), rapid.Uint32Range(0, 4).Draw(t, "holder")
		gen := rapid.OneOf(rapid.Uint64Range(0, 20), rapid.Just(uint64(1)<<39-1)).Draw(t, "generation")
		return shm.Word(state, shm.Holder(holder), gen)
	}),
	rapid.Custom(func(t *rapid.T) uint64 { // the rest of something
		const rest, stateBits = 5, 3
		return rest | rapid.Uint64Range(0, 40).Draw(t, "head")<<stateBits | rapid.Uint64().Draw(t, "above")<<29
	}),
)

func (v vandal) store(t *rapid.T) {
	off := rapid.OneOf(
		rapid.Int64Range(v.words/8, v.words/8+40), rapid.Int64Range(v.records/8, v.records/8+10), rapid.Int64Range(v.records/8, v.data/8-1),
		rapid.Just(int64(16)), rapid.Just(int64(17)), // the control's
	).Draw(t, "where") * 8
	binary.LittleEndian.PutUint64(v.mem[min(off, v.data-8):], hostileWords.Draw(t, "word"))
}

// Whatever is in the words: nothing panics, hangs, or touches memory outside the arena.
func TestArenaHostileWords(t *testing.T) {
	watch(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int64{1, 5, 16, 31}).Draw(t, "units") * shm.UnitBytes
		page := rapid.SampledFrom([]int64{4096, 4 * shm.UnitBytes}).Draw(t, "page")
		v := vandal{mem: make([]byte, shm.ArenaSize(n, page))}
		v.words, v.records, v.data = shm.ArenaParts(n, page)
		backing := newStrictBacking(v.mem, page)
		first, err := shm.NewArena(v.mem, n, page, 1, backing)
		require.NoError(t, err)
		second, err := shm.OpenArena(v.mem, 2, backing)
		require.NoError(t, err)
		arenas := []*shm.Arena{first, second}
		var blocks []shm.Block
		block := func(t *rapid.T) shm.Block {
			if len(blocks) == 0 || rapid.IntRange(0, 3).Draw(t, "any") == 0 {
				off := rapid.OneOf(rapid.Int64(), rapid.Int64Range(v.data-1, v.data+n), rapid.Map(rapid.Int64Range(0, 34), func(u int64) int64 { return v.data + u*shm.UnitBytes }))
				size := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-1, n+1))
				return shm.Block{Off: off.Draw(t, "off"), Cap: size.Draw(t, "cap"), Word: hostileWords.Draw(t, "word")}
			}
			return rapid.SampledFrom(blocks).Draw(t, "block")
		}
		actions := map[string]func(*rapid.T){
			"store": v.store, "store again": v.store, "store more": v.store,
			"alloc": func(t *rapid.T) {
				a := rapid.SampledFrom(arenas).Draw(t, "by")
				if b, _, err := a.Alloc(modelSizes.Draw(t, "bytes")); err == nil {
					paint(a.Bytes(b), 1)
					require.GreaterOrEqual(t, b.Off, v.data)
					blocks = append(blocks, b)
				}
			},
			"use": func(t *rapid.T) {
				a, b := rapid.SampledFrom(arenas).Draw(t, "by"), block(t)
				if found, err := a.Find(b.Off, b.Cap, b.Word); err == nil {
					require.Len(t, a.Bytes(found), int(b.Cap))
					require.GreaterOrEqual(t, b.Off, v.data)
				}
				if given, ok := a.Give(b, 2); ok {
					blocks = append(blocks, given)
				}
				if frozen, ok := a.Freeze(b); ok {
					blocks = append(blocks, frozen)
				}
				a.Free(b)
			},
			"look": func(t *rapid.T) {
				a := rapid.SampledFrom(arenas).Draw(t, "by")
				requireSum(t, a.Stats())
				_, _ = a.Check(), a.Idle()
			},
			"tidy": func(t *rapid.T) {
				a := rapid.SampledFrom(arenas).Draw(t, "by")
				a.Trim()
				a.Sweep()
				a.TrimAll()
			},
			"reclaim": func(t *rapid.T) {
				a := rapid.SampledFrom(arenas).Draw(t, "by")
				for h := shm.Holder(0); h < 5; h++ {
					if a == first && h != 1 || a == second && h != 2 {
						a.Reclaim(h)
					}
				}
			},
		}
		for range 6 { // more steps than one round has
			t.Repeat(actions)
		}
	})
}

const (
	heldState = 2
	spanState = 4
)

// A span that somebody has invented is not used, wherever it is said to be.
func TestArenaInventedSpans(t *testing.T) {
	const units, dead = 9, 9
	size := int64(units * shm.UnitBytes)
	words, records, data := shm.ArenaParts(size, page)
	for u := range int64(units) {
		mem := make([]byte, shm.ArenaSize(size, page))
		a, err := shm.NewArena(mem, size, page, parentHolder, nil)
		require.NoError(t, err)
		_, _, err = a.Alloc(600) // so that units are in use
		require.NoError(t, err)
		binary.LittleEndian.PutUint64(mem[words+8*u:], shm.Word(spanState, dead, 77))
		const record, block = 4096, 8 + 3*8 // one in it is held, so that it is not given up at once
		binary.LittleEndian.PutUint64(mem[records+u/4*record+block:], shm.Word(heldState, 5, 1))
		a.Reclaim(dead)
		var end int64
		for {
			b, _, err := a.Alloc(512)
			if err != nil {
				require.ErrorIs(t, err, shm.ErrArenaFull)
				break
			}
			require.LessOrEqual(t, b.Off+b.Cap, data+size)
			paint(a.Bytes(b), 1)
			end = max(end, b.Off+b.Cap)
		}
		require.Positive(t, end)
	}
}

// What somebody else seems to have is left alone.
func TestArenaSpanTakenAway(t *testing.T) {
	const size = 8 * shm.UnitBytes
	mem := make([]byte, shm.ArenaSize(size, page))
	a, err := shm.NewArena(mem, size, page, parentHolder, nil)
	require.NoError(t, err)
	b, _, err := a.Alloc(512)
	require.NoError(t, err)
	require.True(t, a.Free(b))
	words, _, _ := shm.ArenaParts(size, page)
	taken := shm.Word(heldState, 7, 3)
	binary.LittleEndian.PutUint64(mem[words:], taken)
	a.Sweep()
	require.Equal(t, taken, binary.LittleEndian.Uint64(mem[words:]))
}
