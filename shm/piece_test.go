package shm_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/shm"
)

func newPiece(t require.TestingT, size int64) *shm.Piece {
	p, err := shm.NewPiece("test", size)
	require.NoError(t, err)
	return p
}

func shmFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

// A thousand small pieces take one descriptor; the last one to be closed gives it back.
func TestPiecesShareASegment(t *testing.T) {
	before := shmFiles(t)
	var pieces []*shm.Piece
	for range 1000 {
		pieces = append(pieces, newPiece(t, 200))
	}
	assert.Equal(t, before+1, shmFiles(t))
	large := newPiece(t, 1<<20)
	assert.Equal(t, before+2, shmFiles(t))
	require.NoError(t, large.Close())
	for _, p := range pieces {
		require.NoError(t, p.Close())
		require.NoError(t, p.Close())
	}
	assert.Equal(t, before, shmFiles(t))
	assert.Panics(t, func() { large.Bytes() })
	_, _, err := large.Share()
	assert.ErrorIs(t, err, os.ErrClosed)
}

// Pieces that are open never overlap, are zero at first, and keep what is written.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type held struct {
			p    *shm.Piece
			mark byte
			own  bool // no other handle of this piece
		}
		var open []held
		defer func() {
			for _, h := range open {
				require.NoError(t, h.p.Close())
			}
		}()
		next := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"new": func(t *rapid.T) {
				p := newPiece(t, rapid.SampledFrom([]int64{1, 64, 128, 129, 5000, 65536, 200_000}).Draw(t, "size"))
				require.Equal(t, len(p.Bytes()), bytes.Count(p.Bytes(), []byte{0}))
				next++
				copy(p.Bytes(), bytes.Repeat([]byte{next}, len(p.Bytes())))
				open = append(open, held{p, next, true})
			},
			"adopt": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				h := &open[rapid.IntRange(0, len(open)-1).Draw(t, "which")]
				f, data, err := h.p.Share()
				require.NoError(t, err)
				again := new(shm.Piece)
				require.NoError(t, again.Adopt(f, data))
				open = append(open, held{again, h.mark, false})
			},
			"close": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				require.NoError(t, open[i].p.Close())
				open = append(open[:i], open[i+1:]...)
			},
			"": func(t *rapid.T) {
				for _, h := range open {
					b := h.p.Bytes()
					require.Equal(t, []byte{h.mark, h.mark, h.mark}, []byte{b[0], b[len(b)/2], b[len(b)-1]})
				}
			},
		})
	})
}

func TestAdoptWhatIsNoPiece(t *testing.T) {
	before := shmFiles(t)
	p := newPiece(t, 100)
	f, data, err := p.Share()
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"short":          data[:15],
		"no size":        append(append([]byte{}, data[:8]...), make([]byte, 8)...),
		"beyond the end": append([]byte{0, 0, 16, 0, 0, 0, 0, 0}, data[8:]...),
		"not aligned":    append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, data[8:]...),
		"negative":       append([]byte{0, 0, 0, 0, 0, 0, 0, 128}, data[8:]...),
	} {
		assert.ErrorIs(t, new(shm.Piece).Adopt(f, bad), os.ErrInvalid, name)
	}
	assert.ErrorIs(t, new(shm.Piece).Adopt(nil, data), os.ErrInvalid)
	assert.ErrorContains(t, p.Adopt(f, data), "is open already")
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	assert.ErrorIs(t, new(shm.Piece).Adopt(null, data), os.ErrInvalid, "a device")
	require.NoError(t, null.Close())
	for _, size := range []int64{0, -1} {
		_, err := shm.NewPiece("test", size)
		assert.ErrorIs(t, err, os.ErrInvalid)
	}
	require.NoError(t, p.Close())
	assert.Equal(t, before, shmFiles(t))
}
