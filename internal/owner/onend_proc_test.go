//go:build linux && (amd64 || arm64)

package owner

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// on has ends hear of id's end.
func on(t *testing.T, id ID, ends chan<- int, which int) (stop func()) {
	t.Helper()
	stop, err := id.OnEnd(func() { ends <- which })
	require.NoError(t, err)
	return stop
}

func hear(t *testing.T, ends <-chan int) int {
	t.Helper()
	select {
	case which := <-ends:
		return which
	case <-time.After(patience):
		require.FailNow(t, "nobody was told")
		return 0
	}
}

func TestOnEnd(t *testing.T) {
	w, other := startWaiter(t), startWaiter(t)
	ends := make(chan int, 10)
	before := descriptors(t)
	on(t, w.id, ends, 1)
	on(t, w.id, ends, 2)
	on(t, w.id, ends, 3)()
	stop := on(t, other.id, ends, 4)
	require.Equal(t, before+2, descriptors(t), "one for each process")
	w.stop()
	require.ElementsMatch(t, []int{1, 2}, []int{hear(t, ends), hear(t, ends)})
	before = descriptors(t)
	stop()
	stop()
	require.Equal(t, before-1, descriptors(t))
	other.stop()
	require.NoError(t, other.Wait())

	on(t, other.id, ends, 5)
	assert.Equal(t, 5, hear(t, ends), "it had ended before, and nobody was told of 3 and 4")
	assert.Empty(t, ends)
}

func TestOnEndOfThisProcess(t *testing.T) {
	self, err := Self()
	require.NoError(t, err)
	for _, id := range []ID{0, self} {
		stop, err := id.OnEnd(func() { t.Error("it ended") })
		require.NoError(t, err)
		stop()
	}
}

// What the netpoller does not watch is refused, before anybody relies on it.
func TestCanWatch(t *testing.T) {
	w := startWaiter(t)
	assert.NoError(t, canWatch(w.pidfd))
	assert.NoError(t, canWatch(nil), "it had ended before")
	file, err := os.Open("/proc/self/stat")
	require.NoError(t, err)
	defer file.Close()
	assert.ErrorIs(t, canWatch(file), os.ErrNoDeadline)
}

// A call that is dropped while the process ends is made or is not, and nothing is left.
func TestOnEndAndStopAtOnce(t *testing.T) {
	for range 20 {
		w := startWaiter(t)
		var called atomic.Int32
		ends := make(chan int, 1)
		on(t, w.id, ends, 1)
		stop, err := w.id.OnEnd(func() { called.Add(1) })
		require.NoError(t, err)
		w.stop()
		stop()
		hear(t, ends)
		require.LessOrEqual(t, called.Load(), int32(1))
	}
	watched.Lock()
	defer watched.Unlock()
	require.Empty(t, watched.vigils)
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
