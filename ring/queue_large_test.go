package ring

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Places, and what those who leave hold in the arena, are used again.
func TestQueueHandlesComeAndGo(t *testing.T) {
	q := newQueue[string](t, QueueOptions{Participants: 2, Capacity: 4, Memory: 1 << 20})
	f, data, _, err := q.Share()
	require.NoError(t, err)
	large := strings.Repeat("x", 1000)
	for i := range 50 {
		p := new(Queue[string])
		require.NoError(t, p.Adopt(f, data))
		for range 3 {
			require.NoError(t, p.Put(soon(t), large))
		}
		if i%2 == 0 {
			v, err := p.Get(soon(t))
			require.NoError(t, err)
			require.Len(t, v, 1000)
		}
		require.NoError(t, p.Close())
		for q.Len() > 0 {
			v, err := q.Get(soon(t))
			require.NoError(t, err)
			require.Equal(t, large, v)
		}
	}
	q.ring.Recover()
	q.large.arena.Sweep()
	assert.Zero(t, q.large.arena.Stats().Blocks)
}

// A Put of an item that finds no memory waits for it.
func TestQueueMemoryFull(t *testing.T) {
	q := newQueue[string](t, QueueOptions{Capacity: 100, Memory: 1 << 18})
	large := strings.Repeat("x", 1<<17-8)
	require.NoError(t, q.Put(soon(t), large))
	require.NoError(t, q.Put(soon(t), large))
	ok, err := q.TryPut(large)
	require.NoError(t, err)
	require.False(t, ok)
	ok, err = q.TryPut("small")
	require.NoError(t, err)
	require.True(t, ok)
	result := make(chan error)
	go func() { result <- q.Put(soon(t), large) }()
	eventually(t, "it waits", waits(q))
	for range 2 {
		_, err = q.Get(soon(t))
		require.NoError(t, err)
	}
	require.NoError(t, <-result)
}

// What a consumer that was killed had taken and not freed is freed before its slot is used again.
func TestQueueBlockOfTheDead(t *testing.T) {
	q := newQueue[string](t, QueueOptions{Capacity: 2, Memory: 1 << 17, Participants: 3})
	p := adopted(t, q)
	large := strings.Repeat("x", 1<<17-8)
	require.NoError(t, q.Put(soon(t), large))
	r, ok, err := p.ring.Take(1)
	require.True(t, ok)
	require.NoError(t, err)
	require.NoError(t, p.release(r)) // and dies, before Free
	die(p.ring)
	ok, err = q.TryPut(large)
	require.NoError(t, err)
	require.True(t, ok)

	// One that dies with the block given to its slot, and the item not committed.
	_, err = q.Get(soon(t))
	require.NoError(t, err)
	s := adopted(t, q)
	item, err := s.parcel(&large)
	require.NoError(t, err)
	ok, err = s.large.pack(&item)
	require.True(t, ok)
	require.NoError(t, err)
	r, ok, err = s.ring.Reserve(1)
	require.True(t, ok)
	require.NoError(t, err)
	s.large.store(s.ring.slot(r.pos), &item)
	ok, err = q.TryPut(large)
	require.NoError(t, err)
	require.False(t, ok)
	die(s.ring)
	require.Equal(t, 2, q.ring.Recover(), "both who died")
	ok, err = q.TryPut(large)
	require.NoError(t, err)
	require.True(t, ok)
	v, err := q.Get(soon(t))
	require.NoError(t, err)
	require.Equal(t, large, v)
	p.open.Store(false) // they are dead: Close would say that their places are not theirs
	s.open.Store(false)
	require.NoError(t, p.unmap())
	require.NoError(t, s.unmap())
}

// Close ends the wait of a Put that has a block already. What that does with the block afterwards does not touch memory that may be gone.
func TestQueueClosedWhileALargeItemWaits(t *testing.T) {
	q := newQueue[string](t, QueueOptions{Capacity: 1, Participants: 3, Memory: 1 << 20})
	require.NoError(t, q.Put(soon(t), "all that has room"))
	large := strings.Repeat("x", 1000)
	for range 300 { // memory that is gone is a fault
		p := adopted(t, q)
		put := make(chan error, 1)
		go func() { put <- p.Put(soon(t), large) }()
		eventually(t, "Put waits", waits(p))
		require.NoError(t, p.Close())
		require.ErrorIs(t, <-put, os.ErrClosed)
	}
	q.large.arena.Sweep()
	assert.Zero(t, q.large.arena.Stats().Blocks)
}

// Who waits for memory takes no wake-up from those who wait for a slot.
func TestQueueWaitsForMemoryElsewhere(t *testing.T) {
	q := newQueue[string](t, QueueOptions{Capacity: 8, Memory: 1 << 18})
	large := strings.Repeat("x", 1<<17-8)
	for range 2 {
		require.NoError(t, q.Put(soon(t), large))
	}
	put := make(chan error, 1)
	go func() { put <- q.Put(soon(t), large) }()
	asleep := func(word *atomic.Uint32) func() bool { return func() bool { return word.Load()&1 != 0 } }
	eventually(t, "the third waits for memory", asleep(&q.ring.ctl.memory))
	require.Zero(t, q.ring.ctl.room.Load()&1)
	require.NoError(t, q.Put(soon(t), "small"), "there is room for others")
	got, err := q.Get(soon(t))
	require.NoError(t, err)
	require.Equal(t, large, got)
	require.NoError(t, <-put)
}
