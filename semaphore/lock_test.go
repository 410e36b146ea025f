package semaphore

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// newProcessLocks makes as many handles on one lock, each of another process, none of which ever ends.
func newProcessLocks(t *testing.T, n int) []*lock {
	mem := layout.SliceBytes(make([]uint64, MutexSize/8))
	all := make([]*lock, n)
	for i := range all {
		open := AttachMutex
		if i == 0 {
			open = NewMutexAt
		}
		m, err := open(mem)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		m.lock.become(uint64(1<<22 | (i + 1)))
		all[i] = &m.lock
	}
	return all
}

// requireTaken takes a lock that can be had.
func requireTaken(t *testing.T, ok bool, err error) {
	t.Helper()
	require.NoError(t, err)
	require.True(t, ok)
}

// A lock may be granted to a process that has just given up its claim, and does not wait any more. TryLock gets it, when the grant is a
// Step old.
func TestLockTryOfALateGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newProcessLocks(t, 2)
		holder, left := h[0], h[1]
		ok, err := holder.tryAcquire()
		requireTaken(t, ok, err)
		left.claim()
		holder.words.passed.Store(maxPassed)
		w := holder.words.word.Load() // the holder in releaseSlow, before its CAS
		heir := holder.next()
		left.forgo() // finds nothing that was granted
		require.True(t, holder.words.word.CompareAndSwap(w, heir|w&claimed))
		for range 2 {
			ok, err = holder.tryAcquire()
			require.NoError(t, err)
			require.False(t, ok, "it may be about to take it")
		}
		<-time.After(Step)
		ok, err = holder.tryAcquire()
		requireTaken(t, ok, err)
		holder.release()
	})
}

// Who leaves the queue as the last of its process, when its turn has come, passes it on: another who sleeps, and would respect the turn for
// ever, has the lock then.
func TestLockForgoesItsTurn(t *testing.T) {
	h := newProcessLocks(t, 3)
	holder, leaves, other := h[0], h[1], h[2]
	other.keeps = math.MaxInt64
	other.queue.step = -1
	ok, err := holder.tryAcquire()
	requireTaken(t, ok, err)
	leaves.claim()
	holder.words.passed.Store(maxPassed)
	holder.words.turn.Store(claims - 1) // the next is claim 0
	had := make(chan error, 1)
	go func() { had <- other.acquire(t.Context()) }()
	require.Eventually(t, other.asleep, 30*time.Second, time.Millisecond, "it sleeps")
	holder.release()
	require.Equal(t, uint64(leaves.id)|granted|claimed, holder.words.word.Load())

	leaves.queue.waiters.Add(1) // one more of its process waits
	leaves.forgo()
	assert.Equal(t, uint64(leaves.id)|granted|claimed, holder.words.word.Load(), "the turn is that one's")
	leaves.queue.waiters.Add(-1)

	leaves.forgo()
	require.NotEqual(t, uint64(leaves.id), holder.words.word.Load()&^flags)
	select {
	case err := <-had:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		require.FailNow(t, "the other does not have it")
	}
	other.release()
}

// A process that gets one turn after another has a Step for each, also in the eyes of one who looks seldom and finds it granted
// to the same each time.
func TestLockEachTurnLastsAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newProcessLocks(t, 3)
		holder, looks, heir := h[0], h[1], h[2]
		grant := func() (w uint64) {
			ok, err := holder.tryAcquire()
			requireTaken(t, ok, err)
			heir.claim()
			holder.words.passed.Store(maxPassed)
			holder.release()
			w = holder.words.word.Load()
			require.Equal(t, uint64(heir.id)|granted|claimed, w)
			return w
		}
		for range 3 {
			assert.False(t, looks.given(grant()), "it was granted just now")
			<-time.After(Step + 1)
			ok, err := heir.take(nobody)
			requireTaken(t, ok, err)
			heir.release()
		}
		w := grant()
		require.False(t, looks.given(w))
		<-time.After(Step)
		assert.True(t, looks.given(w))
		ok, err := heir.take(nobody)
		requireTaken(t, ok, err)
		heir.release()
	})
}

// Who is about to sleep is told of the ends of all who have claims, as each of them may be the next holder, of whom only one is told who
// is woken.
func TestLockMindsClaims(t *testing.T) {
	h := newProcessLocks(t, 4)
	holder, sleeper := h[0], h[1]
	watches := func() (all []owner.ID) {
		sleeper.vigil.mu.Lock()
		defer sleeper.vigil.mu.Unlock()
		for id := range sleeper.vigil.others {
			all = append(all, id)
		}
		return all
	}
	look := func() {
		sleeper.queue.mu.Lock()
		defer sleeper.queue.mu.Unlock()
		ok, err := sleeper.try()
		require.NoError(t, err)
		require.False(t, ok)
	}
	ok, err := holder.tryAcquire()
	requireTaken(t, ok, err)
	look()
	assert.Empty(t, watches(), "it does not sleep yet")
	sleeper.on().Announce()
	h[2].claim()
	look()
	assert.ElementsMatch(t, []owner.ID{holder.id, h[2].id}, watches(), "and not itself")
	h[2].withdraw(0)
	h[3].claim() // in the same place
	look()
	assert.ElementsMatch(t, []owner.ID{holder.id, h[2].id, h[3].id}, watches())
	h[3].withdraw(0)
	sleeper.withdraw(0)
	holder.release()
}
