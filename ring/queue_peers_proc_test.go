package ring

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
)

// What a process can have in its hands when it is killed, and the state of the slot that says so.
var holdings = map[string]slotState{"hold a slot": slotWriting, "hold an item": slotReading}

// Every call that waits because another process holds something waits as long as that process lives, running or stopped, and goes on when
// it is killed: with the item that the dead had, or with the slot.
func TestQueueCallsOutliveAPeer(t *testing.T) {
	get := func(ctx context.Context, q *Queue[int]) error { _, err := q.Get(ctx); return err }
	batch := func(ctx context.Context, q *Queue[int]) error { _, err := q.GetBatch(ctx, make([]int, 3)); return err }
	put := func(ctx context.Context, q *Queue[int]) error { return q.Put(ctx, 5) }
	putAll := func(ctx context.Context, q *Queue[int]) error { _, err := q.PutAll(ctx, []int{5}); return err }
	join := func(ctx context.Context, q *Queue[int]) error { return q.Join(ctx) }
	for name, tt := range map[string]struct {
		holds    string
		o        QueueOptions
		behind   bool // there is an item behind what it holds
		call     func(ctx context.Context, q *Queue[int]) error
		doneOnce bool // the call leaves the queue empty
	}{
		"Get, behind half an item":      {"hold a slot", QueueOptions{Capacity: 2}, true, get, true},
		"GetBatch, behind half an item": {"hold a slot", QueueOptions{Capacity: 2}, true, batch, true},
		"Get, of its item":              {"hold an item", QueueOptions{Capacity: 2}, false, get, true},
		"GetBatch, of its item":         {"hold an item", QueueOptions{Capacity: 2}, false, batch, true},
		"Put, full of half items":       {"hold a slot", QueueOptions{Capacity: 1}, false, put, false},
		"PutAll, full of half items":    {"hold a slot", QueueOptions{Capacity: 1}, false, putAll, false},
		"Put, full of its items":        {"hold an item", QueueOptions{Capacity: 1, OnDeath: Drop}, false, put, false},
		"PutAll, full of its items":     {"hold an item", QueueOptions{Capacity: 1, OnDeath: Drop}, false, putAll, false},
		"Join, with half an item":       {"hold a slot", QueueOptions{Joinable: true, Capacity: 1}, false, join, true},
		"Join, with its item":           {"hold an item", QueueOptions{Joinable: true, Capacity: 1, OnDeath: Drop}, false, join, true},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue[int](t, tt.o)
			if tt.holds == "hold an item" {
				require.NoError(t, q.Put(soon(t), 4))
			}
			c := startOn(t, q, tt.holds, 0)
			eventually(t, "it holds it", func() bool { return held(q, holdings[tt.holds]) })
			if tt.behind {
				require.NoError(t, q.Put(soon(t), 6))
			}
			done := later(func() error { return tt.call(soon(t), q) })
			eventually(t, "the call waits", waits(q))
			const stopSignal = 19
			require.NoError(t, c.Process.Signal(sys.Signal(stopSignal)))
			require.Zero(t, q.ring.Recover(), "who does not run is not dead")
			sys.FutexWait(&never, 0, 120*time.Millisecond) // longer than those who wait go without a look for themselves
			require.Empty(t, done, "who does not run is not dead")
			c.kill()
			require.NoError(t, await(t, done))
			if tt.doneOnce {
				require.Zero(t, q.Len())
			}
		})
	}
}

func init() {
	queueChildren["put so many"] = onQueue(func(q *Queue[int], n int) {
		for i := range n {
			must(q.Put(context.Background(), i))
		}
	})
}

// A process that has put more than a semaphore of POSIX can count ends at once, and does not wait for anybody to get the items, which are
// there.
func TestQueueProducerEndsFirst(t *testing.T) {
	const n = 40_000
	q := newQueue[int](t, QueueOptions{Capacity: n})
	startOn(t, q, "put so many", n).finish(t)
	require.Equal(t, n, q.Len())
	for i := range n {
		v, ok, err := q.TryGet()
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, i, v)
	}
}

// An item that is no value of the type fails one Get and is gone: those behind it come, and Join does not wait for it.
func TestQueueItemThatCannotBeDecoded(t *testing.T) {
	q := newQueue[text](t, QueueOptions{Joinable: true, Capacity: 3})
	for _, name := range []string{"one", "two", "three"} {
		require.NoError(t, q.Put(soon(t), text{Name: name}))
	}
	for i := range q.ring.slots {
		slot := q.ring.mem[i*encodedSlot+wordSize:][:maxInline]
		if bytes.Contains(slot, []byte("two")) {
			clear(slot) // plain: nobody is getting anything yet
		}
	}
	v, err := q.Get(soon(t))
	require.NoError(t, err)
	require.Equal(t, "one", v.Name)
	q.TaskDone()
	_, err = q.Get(soon(t))
	require.ErrorContains(t, err, "get: decode ")
	v, err = q.Get(soon(t))
	require.NoError(t, err)
	require.Equal(t, "three", v.Name)
	q.TaskDone()
	require.NoError(t, q.Join(soon(t)))
	assert.Panics(t, q.TaskDone, "nobody has got the one that was broken")
}
