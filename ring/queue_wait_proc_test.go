package ring

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// held reports whether another process has the run that is in state s.
func held(q *Queue[int], s slotState) bool {
	for i := range q.ring.words {
		w := slotWord(q.ring.words[i].Load())
		if w.state() == s && w.place() != q.ring.self {
			return true
		}
	}
	return false
}

// A peer is killed while it holds what somebody waits for: that one goes on.
func TestQueueWaiterSeesTheEnd(t *testing.T) {
	for i := range 6 {
		q := newQueue[int](t, QueueOptions{Capacity: 1 + i%2})
		c := startOn(t, q, "hold a slot", 0)
		eventually(t, "it holds the slot", func() bool { return held(q, slotWriting) })
		result := make(chan int, 1)
		go func() {
			v, err := q.Get(soon(t))
			assert.NoError(t, err)
			result <- v
		}()
		eventually(t, "Get waits", waits(q))
		go func() { assert.NoError(t, q.Put(soon(t), 5)) }()
		c.kill()
		require.Equal(t, 5, <-result)
	}
	for range 3 {
		q := newQueue[int](t, QueueOptions{Joinable: true, Capacity: 1, OnDeath: Drop})
		require.NoError(t, q.Put(soon(t), 1))
		c := startOn(t, q, "hold an item", 0)
		eventually(t, "it holds the item", func() bool { return held(q, slotReading) })
		result := make(chan error, 1)
		go func() { result <- q.Put(soon(t), 2) }()
		eventually(t, "Put waits", waits(q))
		joined := make(chan error, 1)
		go func() { joined <- q.Join(soon(t)) }()
		c.kill()
		require.NoError(t, <-result)
		v, err := q.Get(soon(t))
		require.NoError(t, err)
		require.Equal(t, 2, v)
		q.TaskDone()
		require.NoError(t, <-joined)
	}
}

// What a dead consumer had got and not finished does not hold up Join.
func TestQueueJoinGoesOnWithoutTheDead(t *testing.T) {
	q := newQueue[int](t, QueueOptions{Joinable: true})
	c := startOn(t, q, "get one", 7)
	require.NoError(t, q.Put(soon(t), 7))
	eventually(t, "it has the item", func() bool { return q.ring.table[1].takes.Load() == 1 })
	joined := make(chan error, 1)
	go func() { joined <- q.Join(soon(t)) }()
	eventually(t, "Join waits", waits(q))
	require.Empty(t, joined)
	c.kill()
	require.NoError(t, <-joined)
}

// Processes are killed while they wait: the others are told of what comes.
func TestQueueWaitersKilled(t *testing.T) {
	q := newQueue[int](t, QueueOptions{Capacity: 1})
	for range 5 {
		c := startOn(t, q, "get one", 0)
		eventually(t, "it waits", func() bool { return q.ring.ctl.items.Load()&1 != 0 })
		c.kill()
		require.NoError(t, q.Put(soon(t), 3))
		v, err := q.Get(soon(t))
		require.NoError(t, err)
		require.Equal(t, 3, v)

		require.NoError(t, q.Put(soon(t), 4))
		c = startOn(t, q, "wait to put", 5)
		eventually(t, "it waits", func() bool { return q.ring.ctl.room.Load()&1 != 0 })
		c.kill()
		v, err = q.Get(soon(t))
		require.NoError(t, err)
		require.Equal(t, 4, v)
		if ok, err := q.TryPut(6); ok { // unless it had woken and put before it died
			require.NoError(t, err)
		}
		_, err = q.Get(soon(t))
		require.NoError(t, err)
	}
}
