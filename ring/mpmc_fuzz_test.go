package ring

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/shm"
)

// FuzzMPMCBytes: whatever lies in memory, its header included, it is refused, or a participant does any operations in it without a
// panic, each with slots that lie inside the ring or an error that says what is wrong.
func FuzzMPMCBytes(f *testing.F) {
	for _, capacity := range []int{1, 3, 8} {
		mem := newMPMC(f, MPMCOptions{Capacity: capacity, Participants: 2}, uint64(capacity)-2)
		f.Add(mem, []byte{0, 9, 1, 2, 65, 3, 17, 2, 1, 129, 3, 0})
		m := attachMPMC(f, mem)
		offer(f, m, 1, 2)
		f.Add(mem, []byte{4, 8, 0, 1, 2, 3, 5, 6, 7})
		_, _, err := m.Take(1)
		require.NoError(f, err)
		die(m)
		f.Add(mem, []byte{7, 1, 1, 1, 0, 7})
		f.Add(mem[:900], []byte{0})
	}
	f.Fuzz(func(t *testing.T, src, script []byte) {
		if len(src) > 1<<13 {
			return
		}
		mem := aligned(int64(len(src)))
		copy(mem, src)
		m, err := AttachMPMC(mem)
		if err != nil {
			return
		}
		m.alive = func(id owner.ID) bool { return id%2 == 0 }
		var reserved, taken []Run
		for _, b := range script[:min(len(script), maxScript)] {
			n := 1 + int(b>>3)
			switch b % 8 {
			case 0, 1:
				r, ok, err := m.Reserve(n)
				requireRun(t, m, r, ok, err)
				if ok {
					reserved = append(reserved, r)
				}
			case 2, 3:
				r, ok, err := m.Take(n)
				requireRun(t, m, r, ok, err)
				if ok {
					taken = append(taken, r)
				}
			case 4:
				for _, r := range reserved {
					requireRun(t, m, r, true, m.Commit(r))
				}
				reserved = nil
			case 5:
				for _, r := range taken {
					requireRun(t, m, r, true, m.Release(r))
				}
				taken = nil
			case 6:
				assert.LessOrEqual(t, m.Len(), m.Cap())
				_, err := m.finished()
				requireRun(t, m, Run{}, false, err)
			case 7:
				m.Recover()
			}
		}
	})
}

func requireRun(t *testing.T, m *MPMC, r Run, ok bool, err error) {
	if err != nil && err != io.EOF && !errors.Is(err, ErrClosed) {
		require.ErrorIs(t, err, ErrCorrupted)
	}
	if ok && err == nil {
		for i := range r.Len() {
			require.Len(t, m.Slot(r, i), m.item)
		}
	}
}

// FuzzQueueItem: whatever lies in a slot, a Get returns a value or an error, and blocks that belong to others are not freed.
func FuzzQueueItem(f *testing.F) {
	f.Add(uint64(3), uint64(1), uint64(2), uint64(3))
	f.Add(uint64(inBlock|100), uint64(1<<20), uint64(512), uint64(2))
	f.Add(uint64(maxInline+1), uint64(0), uint64(0), uint64(0))
	f.Add(^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0))
	q := newQueue[string](f, QueueOptions{Capacity: 2, Participants: 2, Memory: 1 << 18})
	b, _, err := q.large.arena.Alloc(600)
	require.NoError(f, err)
	b, ok := q.large.arena.Give(b, shm.Holder(firstSlot+1))
	require.True(f, ok)
	f.Add(uint64(inBlock|16), uint64(b.Off), uint64(b.Cap), b.Word+8)
	f.Fuzz(func(t *testing.T, n, off, size, word uint64) {
		if off == uint64(b.Off) && word == b.Word {
			return // then it is this block
		}
		r, ok, err := q.ring.Reserve(1)
		require.NoError(t, err)
		require.True(t, ok)
		at := q.ring.slot(r.pos) * itemWords
		for i, v := range []uint64{n, off, size, word} {
			q.large.cells[at+i].Store(v)
		}
		require.NoError(t, q.ring.Commit(r))
		_, ok, err = q.TryGet()
		require.True(t, ok || err != nil)
		require.Zero(t, q.Len())
		_, _, err = q.ring.advance()
		require.NoError(t, err)
		_, err = q.large.arena.Find(b.Off, b.Cap, b.Word)
		require.NoError(t, err, "freed by who does not have it")
	})
}
