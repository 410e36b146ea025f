package semaphore

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
)

// Each process is watched once; those that have ended are forgotten when another is asked about; and nobody is told after the end of the vigil.
func TestVigil(t *testing.T) {
	var v vigil
	told, calls := 0, map[owner.ID]func(){}
	v.init(func() { told++ })
	v.onEnd = func(id owner.ID, f func()) (func(), error) {
		require.Nil(t, calls[id], "it is watched already")
		calls[id] = f
		return func() { delete(calls, id) }, nil
	}
	for range 3 {
		assert.False(t, v.ended(7))
		assert.False(t, v.ended(8))
	}
	calls[7]()
	assert.Equal(t, 1, told)
	assert.True(t, v.ended(7))
	assert.False(t, v.ended(8))
	assert.False(t, v.ended(9))
	assert.Len(t, v.others, 2, "the dead one is forgotten")
	late := calls[8]
	v.close()
	assert.NotContains(t, calls, owner.ID(8))
	late()
	assert.Equal(t, 1, told)
	assert.False(t, v.ended(8))
}

// Where a process cannot be watched, it is asked about once a Step.
func TestVigilBlind(t *testing.T) {
	var v vigil
	asked, lives := 0, true
	v.init(func() {})
	v.onEnd = func(owner.ID, func()) (func(), error) { return func() {}, errors.New("no descriptor left") }
	v.alive = func(owner.ID) bool { asked++; return lives }
	assert.False(t, v.ended(7))
	lives = false
	require.Eventually(t, func() bool { return v.ended(7) }, 30e9, 1e6)
	assert.Equal(t, 2, asked)
	assert.True(t, v.ended(7))
	assert.Equal(t, 2, asked)
	v.close()
}
