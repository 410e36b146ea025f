package pool

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ledger is a backing that remembers which pages have memory.
type ledger struct {
	pages map[int64]bool
	fail  error
}

func (l *ledger) Reserve(off, n int64) error {
	if l.fail != nil {
		return l.fail
	}
	return l.mark(off, n, true)
}

func (l *ledger) Punch(off, n int64) error { return l.mark(off, n, false) }

func (l *ledger) mark(off, n int64, backed bool) error {
	if off%pageBytes != 0 || n <= 0 {
		return errors.New("bad range")
	}
	for p := off / pageBytes; p < (off+n+pageBytes-1)/pageBytes; p++ {
		l.pages[p] = backed
	}
	return nil
}

// Blocks never overlap, lie inside the region and on memory, and everything that was
// freed can be had again.
func TestHeapModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const start, size = 8 * pageBytes, 1 << 20
		book := &ledger{pages: map[int64]bool{}}
		h := &heap{seg: book, off: start, size: size}
		var live []extent
		t.Repeat(map[string]func(*rapid.T){
			"alloc": func(t *rapid.T) {
				n := rapid.Int64Range(0, 200_000).Draw(t, "n")
				off, err := h.alloc(n)
				if err != nil {
					require.ErrorIs(t, err, errFull)
					return
				}
				require.Zero(t, off%blockAlign)
				require.GreaterOrEqual(t, off, int64(start))
				require.LessOrEqual(t, off+n, int64(start+size))
				for _, e := range live {
					require.True(t, off+n <= e.off || e.off+roundBlock(e.n) <= off, "overlap")
				}
				for p := off / pageBytes; p*pageBytes < off+n; p++ {
					require.True(t, book.pages[p], "page %d has no memory", p)
				}
				live = append(live, extent{off, n})
			},
			"free": func(t *rapid.T) {
				if len(live) == 0 {
					return
				}
				i := rapid.IntRange(0, len(live)-1).Draw(t, "i")
				h.free(live[i].off, live[i].n)
				require.Panics(t, func() { h.free(live[i].off, live[i].n) }, "double free")
				live = append(live[:i], live[i+1:]...)
			},
		})
		for _, e := range live {
			h.free(e.off, e.n)
		}
		require.Empty(t, h.holes)
		require.Zero(t, h.top)
		off, err := h.alloc(size)
		require.NoError(t, err)
		require.EqualValues(t, start, off)
	})
}

func TestHeapGivesMemoryBack(t *testing.T) {
	book := &ledger{pages: map[int64]bool{}}
	h := &heap{seg: book, size: 1 << 30}
	off, err := h.alloc(512 << 20)
	require.NoError(t, err)
	h.free(off, 512<<20)
	backed := int64(0)
	for _, b := range book.pages {
		if b {
			backed += pageBytes
		}
	}
	require.EqualValues(t, keepBytes, backed)
}

func TestHeapRefuses(t *testing.T) {
	h := &heap{seg: &ledger{pages: map[int64]bool{}}, size: 4096}
	_, err := h.alloc(4097)
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "4160 bytes: Options.Memory is 4096 bytes")
	full := errors.New("machine is full")
	h.seg = &ledger{fail: full}
	_, err = h.alloc(10)
	require.ErrorIs(t, err, full)
	require.Zero(t, h.top, "a failed allocation takes nothing")
}
