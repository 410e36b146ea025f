package ring

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
)

// A dead participant, as far as m and all who share its memory in this test go: its process has an ID that nobody has.
func die(m *MPMC) { m.table[m.self].owner.Store(uint64(nobody)) }

const nobody = owner.ID(left - 1)

func TestMPMCTable(t *testing.T) {
	mem := newMPMC(t, MPMCOptions{Capacity: 4, Participants: 2}, 4)
	a, b := attachMPMC(t, mem), attachMPMC(t, mem)
	_, err := AttachMPMC(mem)
	require.ErrorIs(t, err, ErrNoPlace)
	require.NoError(t, a.Detach())
	require.NoError(t, a.Detach(), "a second time does nothing")
	c := attachMPMC(t, mem)
	require.Equal(t, a.Recover(), 0)
	die(b)
	d := attachMPMC(t, mem)
	assert.Equal(t, b.self, d.self)
	die(c)
	assert.Equal(t, 1, d.Recover())
	die(d)
	assert.ErrorIs(t, d.Detach(), ErrCorrupted)
}

// What a participant leaves that dies with a run reserved or taken.
func TestMPMCDeaths(t *testing.T) {
	for _, policy := range []Policy{Redeliver, Drop} {
		for _, pos := range beginnings(8) {
			mem := newMPMC(t, MPMCOptions{Capacity: 7, OnDeath: policy}, pos)
			dead, m := attachMPMC(t, mem), attachMPMC(t, mem)
			require.Equal(t, 2, offer(t, m, 1, 2))
			_, ok, err := dead.Reserve(2)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, 3, offer(t, m, 3, 3))
			taken, _, err := dead.Take(1)
			require.NoError(t, err)
			require.Equal(t, []uint64{1}, numbers(dead, taken))
			require.Equal(t, []uint64{2}, accept(t, m, 9))
			require.Empty(t, accept(t, m, 9), "somebody is writing")
			die(dead)
			var got []uint64
			for range 3 * lookEvery {
				got = append(got, accept(t, m, 2)...)
			}
			if policy == Drop {
				require.Equal(t, []uint64{3, 4, 5}, got)
			} else {
				require.Equal(t, []uint64{1, 3, 4, 5}, got)
			}
			require.Zero(t, m.Len())
			require.Zero(t, m.Recover())
			require.Equal(t, 7, offer(t, m, 0, 9), "no room is lost")
		}
	}
}

// A full ring whose oldest items a dead consumer has claimed.
func TestMPMCFullOfTheDead(t *testing.T) {
	mem := newMPMC(t, MPMCOptions{Capacity: 3, OnDeath: Drop}, 4)
	dead, m := attachMPMC(t, mem), attachMPMC(t, mem)
	require.Equal(t, 3, offer(t, m, 1, 3))
	_, ok, err := dead.Take(2)
	require.True(t, ok)
	require.NoError(t, err)
	die(dead)
	n := 0
	for range 2 * lookEvery {
		n += offer(t, m, 4, 1)
	}
	require.Equal(t, 2, n)
}

// One who buries dies too, and so on; each leaves nothing behind.
func TestMPMCBurierDies(t *testing.T) {
	mem := newMPMC(t, MPMCOptions{Capacity: 4}, 4)
	dead, burier, m := attachMPMC(t, mem), attachMPMC(t, mem), attachMPMC(t, mem)
	require.Equal(t, 4, offer(t, m, 1, 4))
	_, ok, err := dead.Take(1)
	require.True(t, ok)
	require.NoError(t, err)
	dead.table[dead.self].owner.Store(burying | uint64(burier.id))
	require.Zero(t, m.Recover(), "somebody is at it")
	dead.table[dead.self].owner.Store(burying | uint64(nobody))
	require.Equal(t, 1, m.Recover())
	require.Equal(t, []uint64{1}, accept(t, m, 4), "before the others")
	require.Equal(t, []uint64{2, 3, 4}, accept(t, m, 4))
}

// Items that were given back are split at places where they had been split before, otherwise.
func TestMPMCSplitAgain(t *testing.T) {
	mem := newMPMC(t, MPMCOptions{Capacity: 16}, 16)
	m := attachMPMC(t, mem)
	require.Equal(t, 10, offer(t, m, 0, 10))
	w := slotWord(m.word(16).Load())
	ok, err := m.split(Run{16, 3}, w) // one who is slow wants three
	require.True(t, ok)
	require.NoError(t, err)
	dead := attachMPMC(t, mem)
	r, _, err := dead.Take(4)
	require.NoError(t, err)
	require.Equal(t, 4, r.Len())
	die(dead)
	require.Equal(t, 1, m.Recover())
	require.Equal(t, []uint64{0, 1, 2}, accept(t, m, 3))
	require.Equal(t, []uint64{3}, accept(t, m, 3))
	require.Equal(t, []uint64{4, 5, 6}, accept(t, m, 3))
	require.Equal(t, []uint64{7, 8, 9}, accept(t, m, 30))
	require.True(t, slices.Equal([]uint64(nil), accept(t, m, 1)))
}
