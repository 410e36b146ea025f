package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/pool"
)

// What stands out, and nothing else does.
func TestRemarks(t *testing.T) {
	now := time.Now()
	serving := pool.WorkerSnapshot{Pid: 99, State: "serving", Doing: "sleeping", Since: now.Add(-time.Hour)}
	busy := serving
	busy.Doing, busy.Task = "running", &pool.RunningTask{Function: "f", Since: now.Add(-time.Second)}
	long := serving
	long.Doing, long.Task = "running", &pool.RunningTask{Function: "f", Since: now.Add(-time.Minute)}
	hungry := busy
	hungry.Doing = "hungry"
	undead := pool.WorkerSnapshot{Pid: 99, State: "undead"}
	unborn := pool.WorkerSnapshot{State: "vacant", Ends: map[string]uint64{"not_started": 3}}
	for name, tt := range map[string]struct {
		want    string // "": nothing
		queue   pool.Queue
		n       pool.Counters
		state   pool.PoolState
		workers []pool.WorkerSnapshot
	}{
		"quiet":    {workers: []pool.WorkerSnapshot{serving}, queue: pool.Queue{Slots: 8, Free: 8}},
		"at work":  {workers: []pool.WorkerSnapshot{busy}, queue: pool.Queue{Slots: 8, Free: 2, Waiting: 5, Running: 1, Oldest: time.Millisecond}},
		"backlog":  {want: "5 tasks wait, the oldest for 2s: no worker is free.", workers: []pool.WorkerSnapshot{busy}, queue: pool.Queue{Slots: 8, Free: 2, Waiting: 5, Oldest: 2 * time.Second}},
		"asleep":   {want: "1 task waits, the oldest for 2s, although not all workers are busy.", workers: []pool.WorkerSnapshot{serving}, queue: pool.Queue{Slots: 8, Free: 7, Waiting: 1, Oldest: 2 * time.Second}},
		"nobody":   {want: "1 task waits, and there is no worker.", queue: pool.Queue{Slots: 8, Free: 7, Waiting: 1}},
		"full":     {want: "All 8 slots are taken.", workers: []pool.WorkerSnapshot{busy}, queue: pool.Queue{Slots: 8, Waiting: 7, Running: 1}},
		"deaf":     {want: "6 results lie there and the parent does not take them.", workers: []pool.WorkerSnapshot{serving}, queue: pool.Queue{Slots: 8, Free: 2, Ended: 6}},
		"long":     {want: "Worker 0 (process 99) has run f for 1m00s.", workers: []pool.WorkerSnapshot{long}, queue: pool.Queue{Slots: 8, Free: 7, Running: 1}},
		"hungry":   {want: "1 task waits for memory; 10 B of 1 KiB are held.", workers: []pool.WorkerSnapshot{hungry}, queue: pool.Queue{Slots: 8, Free: 7, Running: 1}},
		"undead":   {want: "Worker 0 (process 99) was killed and does not die.", workers: []pool.WorkerSnapshot{undead}},
		"unborn":   {want: "Worker 0 could not start 3 times.", workers: []pool.WorkerSnapshot{unborn}},
		"deaths":   {want: "2 workers died.", n: pool.Counters{Deaths: 2}},
		"failures": {want: "10% of all tasks failed.", n: pool.Counters{Failed: 10, Succeeded: 90}},
		"few":      {n: pool.Counters{Failed: 1, Succeeded: 999}},
		"rebuilt":  {want: "The pool has got new memory once: the old one was corrupt, or Rebuild was called.", n: pool.Counters{Rebuilds: 1}},
		"closed":   {want: "The pool was closed.", state: pool.PoolClosed},
		"orphaned": {want: "Its parent, process 7, has ended without closing it.", state: pool.PoolDead},
		"moved":    {want: "This memory is an old one of the pool's: it was rebuilt.", state: pool.PoolMoved},
	} {
		snap := &pool.Snapshot{State: pool.PoolOpen, Parent: 7, Taken: now, Queue: tt.queue, Counters: tt.n, Workers: tt.workers}
		if tt.queue.Slots == 0 {
			snap.Queue = pool.Queue{Slots: 8, Free: 8}
		}
		if tt.state != "" {
			snap.State = tt.state
		}
		snap.Memory.Size, snap.Memory.Blocks = 1024, 10
		got := remarksOn(new(site), snap)
		if tt.want == "" {
			assert.Empty(t, got, name)
			continue
		}
		require.Len(t, got, 1, name)
		assert.Equal(t, tt.want, got[0].Text, name)
		assert.NotEmpty(t, got[0].Advice, name)
	}
}
