package shm_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

// fuzzUnits is room for three spans, and one unit.
const fuzzUnits = 13

// FuzzArena: whatever lies in an arena's memory in front of its blocks, header included, and whatever is written there meanwhile, it is
// refused, or no operation of two processes panics, runs for ever, or gives out a block that does not lie where blocks lie; and the
// numbers of Stats add up.
//
// A script is operations of three bytes: what, with which block or how many bytes, and for whom. From 128 on it is a store, of which the
// place and the word are taken from the other two.
func FuzzArena(f *testing.F) {
	const size, page = fuzzUnits * shm.UnitBytes, 4096
	fresh := newArenaMemory(f, size, page)
	f.Add(fresh.books(), []byte{0, 1, 0, 0, 200, 1, 1, 0, 0, 2, 1, 1, 4, 0, 0, 5, 0, 2, 7, 0, 0, 8, 0, 0, 3, 0, 1})
	used := newArenaMemory(f, size, page)
	a, err := shm.OpenArena(used.mem, 1, nil)
	require.NoError(f, err)
	for _, n := range []int64{1, 600, 40_000, 150_000} {
		_, _, err := a.Alloc(n)
		require.NoError(f, err)
	}
	f.Add(used.books(), []byte{6, 0, 1, 6, 2, 0, 129, 3, 7, 140, 200, 1, 7, 1, 1, 4, 1, 0, 0, 255, 0})
	f.Add(used.books()[:200], []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, books, script []byte) {
		m := newArenaMemory(t, size, page)
		copy(m.mem[:m.data], books)
		u := arenaUse{arenaMemory: m}
		for h := range shm.Holder(2) {
			a, err := shm.OpenArena(m.mem, h+1, nil)
			if err != nil {
				return
			}
			u.arenas[h] = a
		}
		for ; len(script) >= 3 && u.steps < 64; script = script[3:] {
			u.step(t, script[0], script[1], script[2])
			u.steps++
		}
	})
}

// An arenaMemory is an arena and where its parts lie.
type arenaMemory struct {
	mem                  []byte
	words, records, data int64
}

func newArenaMemory(t require.TestingT, size, page int64) arenaMemory {
	mem := layout.SliceBytes(make([]uint64, shm.ArenaSize(size, page)/8))
	_, err := shm.NewArena(mem, size, page, 1, nil)
	require.NoError(t, err)
	m := arenaMemory{mem: mem}
	m.words, m.records, m.data = shm.ArenaParts(size, page)
	return m
}

// books is a copy of what lies in front of the blocks, up to the last byte that is not 0.
func (m arenaMemory) books() []byte { return bytes.TrimRight(bytes.Clone(m.mem[:m.data]), "\x00") }

// An arenaUse is two processes that use an arena.
type arenaUse struct {
	arenaMemory
	arenas [2]*shm.Arena
	blocks []shm.Block
	steps  int
}

func (u *arenaUse) step(t *testing.T, what, which, who byte) {
	a := u.arenas[who%2]
	if what >= 128 {
		u.store(what, which, who)
		return
	}
	switch what % 9 {
	case 0, 1:
		size := int64(which)<<(who%10) + int64(who)
		if b, _, err := a.Alloc(size); err == nil {
			u.inside(t, a, b)
			require.GreaterOrEqual(t, b.Cap, size)
			u.blocks = append(u.blocks, b)
		}
	case 2:
		a.Free(u.block(which, who))
	case 3:
		if b, ok := a.Give(u.block(which, who), 2-shm.Holder(who%2)); ok {
			u.blocks = append(u.blocks, b)
		}
	case 4:
		if b, ok := a.Freeze(u.block(which, who)); ok {
			u.blocks = append(u.blocks, b)
		}
	case 5:
		b := u.block(which, who)
		if found, err := a.Find(b.Off, b.Cap, b.Word); err == nil {
			u.inside(t, a, found)
		}
	case 6:
		at := binary.LittleEndian.Uint64(u.mem[u.words+int64(which)%9*8:])
		if b, err := a.Look(u.data+int64(which)*shm.UnitBytes/16, int64(at>>(who%64))); err == nil {
			u.inside(t, a, b)
			u.blocks = append(u.blocks, b)
		}
	case 7:
		requireSum(t, a.Stats())
		_, _ = a.Check(), a.Idle()
	case 8:
		a.Sweep()
		a.Reclaim(2 - shm.Holder(who%2))
		a.Reclaim(shm.Holder(which%4) + 3)
		a.Trim()
	}
}

// block is one that was got, as it was or changed.
func (u *arenaUse) block(which, who byte) shm.Block {
	if len(u.blocks) == 0 {
		return shm.Block{Off: u.data + int64(which)*shm.UnitBytes/16, Cap: int64(who) << (which % 64), Word: shm.Word(2, 1, uint64(who))}
	}
	b := u.blocks[int(which)%len(u.blocks)]
	switch who >> 4 {
	case 1:
		b.Off += int64(who) - 24
	case 2:
		b.Cap += int64(who) - 40
	case 3:
		b.Cap <<= who % 64
	case 4:
		b.Off <<= who % 64
	}
	return b
}

func (u *arenaUse) inside(t *testing.T, a *shm.Arena, b shm.Block) {
	require.GreaterOrEqual(t, b.Off, u.data)
	require.GreaterOrEqual(t, b.Cap, int64(0))
	require.LessOrEqual(t, b.Cap, int64(len(u.mem))-b.Off)
	clear(a.Bytes(b))
}

// store writes a word in front of the blocks: most likely one that could be.
func (u *arenaUse) store(what, which, who byte) {
	word := shm.Word(what%8, shm.Holder(who%4), uint64(who>>2))
	if what >= 192 {
		word = uint64(who) << (what % 64)
	}
	if what%8 == 5 { // the rest of something
		word = 5 | uint64(who%16)<<3
	}
	at := u.words + int64(which%fuzzUnits)*8
	switch {
	case which >= 192:
		at = u.records + int64(which%2)*4096 + int64(which>>1)%16*8
	case which >= 128:
		at = 64 + int64(which)%16*8
	}
	binary.LittleEndian.PutUint64(u.mem[at:], word)
}

// FuzzFileRef: a reference that anybody may have written is refused, or leads to the very file that it says, and to no more bytes than
// that has.
func FuzzFileRef(f *testing.F) {
	name := f.TempDir() + "/file"
	require.NoError(f, os.WriteFile(name, []byte("some content"), 0o600))
	file, err := shm.OpenFile(name)
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, file.Close()) })
	good, err := file.Ref()
	require.NoError(f, err)
	f.Add(int32(0), int32(0), uint64(0), uint64(0), int64(0))
	f.Add(int32(0), int32(1), uint64(0), uint64(0), int64(0))
	f.Add(int32(0), int32(0), uint64(1), uint64(0), int64(0))
	f.Add(int32(0), int32(0), uint64(0), uint64(1), int64(0))
	f.Add(int32(0), int32(0), uint64(0), uint64(0), int64(1))
	f.Add(int32(-1), int32(-1), uint64(0), uint64(0), int64(-12))
	f.Fuzz(func(t *testing.T, pid, fd int32, dev, ino uint64, size int64) {
		r := good // what is 0 is right
		if r.Pid = good.Pid ^ pid; r.Pid != good.Pid && r.Pid > 0 {
			r.Pid = 1 << 30 // nobody: other processes are left alone
		}
		r.Fd, r.Dev, r.Ino, r.Size = good.Fd^fd, good.Dev^dev, good.Ino^ino, good.Size+size
		got, err := shm.OpenRef(r)
		if err != nil {
			return
		}
		defer func() { require.NoError(t, got.Close()) }()
		require.Equal(t, "some content"[:r.Size], string(got.Bytes()))
		require.Zero(t, pid|int32(dev|ino)|int32((dev|ino)>>32))
	})
}
