package semaphore_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
)

// The offsets of docs/LAYOUT.md.
func TestLocksLayout(t *testing.T) {
	require.NoError(t, layout.Viewable(semaphore.MutexBodyType))
	assert.EqualValues(t, semaphore.MutexSize, semaphore.MutexBodyType.Size())
	require.NoError(t, layout.Viewable(semaphore.RWMutexBodyType))
	assert.EqualValues(t, 33_280, semaphore.RWMutexSize)
	assert.EqualValues(t, semaphore.RWMutexSize, semaphore.RWMutexBodyType.Size())

	lock, ok := semaphore.MutexBodyType.FieldByName("lock")
	require.True(t, ok)
	for name, off := range map[string]uintptr{"word": 64, "sleepers": 72, "passed": 76, "turn": 80, "claim": 128} {
		f, ok := lock.Type.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, lock.Offset+f.Offset, name)
	}
	for name, off := range map[string]uintptr{"writers": 64, "gate": 256, "opened": 264, "drained": 268, "readers": 384} {
		f, ok := semaphore.RWMutexBodyType.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
}

// A mutex and an RWMutex with memory of their own travel; those over the caller's do not.
func TestLocksTravel(t *testing.T) {
	m, err := semaphore.NewMutex()
	require.NoError(t, err)
	f, data, _, err := m.Share()
	require.NoError(t, err)
	other := new(semaphore.Mutex)
	require.NoError(t, other.Adopt(f, data))
	require.True(t, try(t, m))
	require.False(t, try(t, other))
	m.Unlock()
	require.ErrorContains(t, new(semaphore.RWMutex).Adopt(f, data), "memory of 256 bytes, an RWMutex takes 33280")
	require.NoError(t, other.Close())
	require.NoError(t, m.Close())

	rw, err := semaphore.NewRWMutex()
	require.NoError(t, err)
	f, data, _, err = rw.Share()
	require.NoError(t, err)
	another := new(semaphore.RWMutex)
	require.NoError(t, another.Adopt(f, data))
	require.True(t, tryRead(t, rw))
	require.False(t, tryWrite(t, another))
	rw.RUnlock()
	require.True(t, tryWrite(t, another))
	rw.Unlock()
	require.NoError(t, another.Close())
	require.NoError(t, rw.Close())

	_, _, _, err = newMutex(t, 1)[0].Share()
	require.ErrorContains(t, err, "share mutex: it lies in memory of the caller's")
	_, _, _, err = newRWMutex(t, 1)[0].Share()
	require.ErrorContains(t, err, "share RWMutex: it lies in memory of the caller's")
}
