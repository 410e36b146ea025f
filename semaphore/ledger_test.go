package semaphore

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// One who is stopped in settle, before its CAS, and goes on when the seat is another handle's, writes nothing into it: the count is not what
// it was, for the next owner has left it as it found it.
func TestLedgerLateSettle(t *testing.T) {
	mem := layout.SliceBytes(make([]uint64, RobustSize/8))
	a, err := NewRobustAt(mem, 3)
	require.NoError(t, err)
	b, err := Attach(mem)
	require.NoError(t, err)
	require.True(t, b.TryAcquire(2)) // the word names seat 1
	l := a.ledger
	w, count := l.load(), &l.seats[1].count
	was := count.Load()
	require.NotEqual(t, w, was)
	require.Equal(t, w, l.load()) // and here it is stopped

	b.Release(2)
	require.True(t, a.TryAcquire(1)) // the word names seat 0
	a.Release(1)
	require.NoError(t, b.Close())
	c, err := Attach(mem)
	require.NoError(t, err)
	require.Equal(t, 1, c.ledger.self)
	require.True(t, a.TryAcquire(2))
	assert.False(t, count.CompareAndSwap(was, w), "it goes on")
	assert.Zero(t, c.Held(), "it has taken nothing")
	require.NoError(t, c.Close())
	a.Release(2)
	assert.True(t, a.TryAcquire(3), "nothing is lost, and nothing is there twice")
	a.Release(3)
	require.NoError(t, a.Close())
}
