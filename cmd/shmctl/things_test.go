//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// segmentOfThings is memory with a semaphore, a mutex and an arena.
func segmentOfThings(t testing.TB) []byte {
	arena := shm.ArenaSize(1<<16, 0)
	mem := layout.SliceBytes(make([]uint64, (1024+arena)/8))
	s, err := semaphore.NewAt(mem, 3)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	m, err := semaphore.NewMutexAt(mem[512:])
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	_, err = shm.NewArena(mem[1024:1024+arena], 1<<16, 0, 1, nil)
	require.NoError(t, err)
	return mem
}

func TestThings(t *testing.T) {
	mem := segmentOfThings(t)
	all, err := thingsIn(bytes.NewReader(mem), int64(len(mem)))
	require.NoError(t, err)
	require.Len(t, all, 3)
	for i, want := range []string{"semaphore", "mutex", "arena"} {
		require.Equal(t, want, all[i].Kind)
		require.Empty(t, all[i].Broken, want)
	}
	require.Equal(t, []string{"semaphore", "mutex", "arena"}, kindsIn(bytes.NewReader(mem), int64(len(mem))))
}

// FuzzThings: whatever lies in a segment, dump and check come to an end, and say no more than the segment is worth. A patch is an offset in words
// and a word; cut is how much is missing at the end.
func FuzzThings(f *testing.F) {
	mem := segmentOfThings(f)
	for _, at := range []uint32{0, 1, 2, 3, 8, 64, 65, 66, 72, 128, 129, 130, 131, 144, 145} {
		f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, at), 1<<40+7), uint32(0))
	}
	f.Add([]byte{}, uint32(100))
	f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, 16), layout.Magic), uint32(7))
	f.Fuzz(func(t *testing.T, patch []byte, cut uint32) {
		mem := bytes.Clone(mem)
		for ; len(patch) >= 12; patch = patch[12:] {
			at := binary.LittleEndian.Uint32(patch) % uint32(len(mem)/8)
			copy(mem[8*at:], patch[4:12])
		}
		mem = mem[:len(mem)-int(cut)%len(mem)]
		r, n := bytes.NewReader(mem), int64(len(mem))
		all, err := thingsIn(r, n)
		if err == nil {
			require.LessOrEqual(t, len(all), len(mem)/layout.Line+1)
		}
		require.LessOrEqual(t, len(kindsIn(r, n)), 32)
		d := segmentDump{Name: "x", Size: n}
		for _, one := range all {
			lines, err := hexOf(r, one.Off, min(max(one.Size, hexShort), n-one.Off, hexLong))
			require.NoError(t, err)
			d.Things = append(d.Things, thingDump{one, lines})
		}
		sh := &shell{out: io.Discard, notes: io.Discard, format: "wide"}
		require.NoError(t, sh.show(&d))
	})
}
