package semaphore

import (
	"maps"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
)

// A funeral counts who was buried.
type funeral struct {
	sync.Mutex
	of map[owner.ID]int
}

func (f *funeral) bury(_ int, dead owner.ID) {
	f.Lock()
	defer f.Unlock()
	if f.of == nil {
		f.of = map[owner.ID]int{}
	}
	f.of[dead]++
}

func (f *funeral) buried() map[owner.ID]int {
	f.Lock()
	defer f.Unlock()
	return maps.Clone(f.of)
}

// newTables makes as many handles on one roll.
func newTables(t *testing.T, n int) ([]*table, *funeral) {
	f, r, all := new(funeral), new(roll), make([]*table, n)
	for i := range all {
		all[i] = new(table)
		require.NoError(t, all[i].join(r, f.bury))
	}
	return all, f
}

// deadID is the ID of a process that has ended.
func deadID(t *testing.T) owner.ID {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	require.NoError(t, cmd.Start())
	id, err := owner.Of(cmd.Process.Pid)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	return id
}

// Seats are taken from the front, given up, and taken again with a count of 0.
func TestTableSeats(t *testing.T) {
	all, f := newTables(t, 3)
	assert.Equal(t, []int{0, 1, 2}, []int{all[0].self, all[1].self, all[2].self})
	all[1].mine().count.Store(7)
	require.NoError(t, all[1].leave())
	seen := map[int]owner.ID{}
	all[0].each(func(i int, id owner.ID) { seen[i] = id })
	assert.Equal(t, map[int]owner.ID{0: all[0].id, 2: all[0].id}, seen, "a vacant seat is left out, and not the end")

	again := new(table)
	require.NoError(t, again.join(all[0].roll, f.bury))
	assert.Equal(t, 1, again.self)
	assert.Zero(t, again.mine().count.Load())
	assert.Empty(t, f.buried())
}

// When all seats are taken, those of the dead are given to others, and only those.
func TestTableFull(t *testing.T) {
	all, f := newTables(t, Seats)
	err := new(table).join(all[0].roll, f.bury)
	require.ErrorIs(t, err, ErrNoSeat)
	require.ErrorContains(t, err, "256 handles")

	dead := deadID(t)
	all[0].seats[40].owner.Store(uint64(dead))
	all[0].seats[41].owner.Store(1 << 63) // no process has such an ID
	late := new(table)
	require.NoError(t, late.join(all[0].roll, f.bury))
	assert.Equal(t, 40, late.self)
	assert.Equal(t, map[owner.ID]int{dead: 1, 1 << 63: 1}, f.buried())
}

// A seat with the pid of a living process and another time of its start is that of a dead one.
func TestTableReusedPid(t *testing.T) {
	all, f := newTables(t, 2)
	reused := all[0].id ^ 1<<40
	all[1].seats[1].owner.Store(uint64(reused))
	all[0].mind()
	assert.Equal(t, map[owner.ID]int{reused: 1}, f.buried())
	assert.Equal(t, uint64(vacant), all[0].seats[1].owner.Load())
}

// Who waits is told of an end at once, however often it looks, and not after it has left.
func TestTableWatch(t *testing.T) {
	all, f := newTables(t, 1)
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	id, err := owner.Of(cmd.Process.Pid)
	require.NoError(t, err)
	for i := range 2 { // two handles of one process
		all[0].seats[1+i].owner.Store(uint64(id))
	}
	all[0].joined.Add(2)
	for range 3 {
		all[0].mind()
	}
	assert.Empty(t, f.buried())
	require.NoError(t, stdin.Close())
	require.NoError(t, cmd.Wait())
	require.Eventually(t, func() bool {
		return all[0].seats[1].owner.Load() == vacant && all[0].seats[2].owner.Load() == vacant
	}, 30e9, 1e6)
	require.NoError(t, all[0].leave())
	assert.Equal(t, map[owner.ID]int{id: 2}, f.buried())
	all[0].mind() // does nothing any more
}

// Who is told of an end need not find out about it, which takes a descriptor: the dead one is buried, and others are not.
func TestTableToldWhatItCannotSee(t *testing.T) {
	all, f := newTables(t, 3)
	dead := deadID(t)
	all[1].seats[1].owner.Store(uint64(dead))
	all[0].alive = func(owner.ID) bool { return true }
	all[0].mind()
	require.Eventually(t, func() bool { return all[1].seats[1].owner.Load() == vacant }, 30e9, 1e6)
	assert.Equal(t, map[owner.ID]int{dead: 1}, f.buried())
	assert.Equal(t, uint64(all[2].id), all[2].mine().owner.Load())
	require.NoError(t, all[0].leave())
}
