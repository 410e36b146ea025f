package pool

import (
	"time"

	"github.com/shmkit/shmkit/shm"
)

// A Snapshot is what an [Observer] has seen of a pool.
type Snapshot struct {
	Name   string
	State  PoolState
	Parent int       // pid of the process that made the pool, as that sees it
	Born   time.Time // when the pool was made: with Parent, it tells a pool from others
	Taken  time.Time

	Counters    Counters
	Outstanding uint64 // tasks that are accepted and have not ended
	Wanted      uint64 // workers that there should be

	Queue     Queue
	Workers   []WorkerSnapshot // by place; those places where there never was one are missing
	Functions []FunctionTimes  // as they were registered
	Memory    MemorySnapshot
	Faults    []Fault
	Untold    uint64  // errors for which Faults has no room
	Deaths    []Death // the last of workers that should have gone on, the oldest first
}

// A PoolState says what has become of a pool.
type PoolState string

// The states of a pool.
const (
	PoolOpen   PoolState = "open"
	PoolClosed PoolState = "closed" // it was closed: what is seen is how it was before
	PoolMoved  PoolState = "moved"  // it has got new memory, another file of the same process
	PoolDead   PoolState = "dead"   // its parent has ended without closing it; in another PID namespace it seems so
)

// Counters are what a pool has done, ever. They go on when it gets new memory.
type Counters struct {
	Accepted  uint64 // tasks
	Succeeded uint64
	Failed    uint64
	Cancelled uint64
	Dropped   uint64 // of those that failed, by the pool's end
	Timeouts  uint64 // of those that were cancelled
	Retried   uint64 // times that a task began again because its worker died

	Started  uint64 // worker processes
	Deaths   uint64 // of workers that should have gone on
	Rebuilds uint64 // times that the pool got new memory
	Woken    uint64 // workers by the parent

	ArgumentBytes uint64
	ResultBytes   uint64
}

// Queue is how many of a pool's tasks stand where.
type Queue struct {
	Slots    int // tasks that can be outstanding
	Free     int
	Waiting  int // that no worker has begun
	Running  int
	Stopping int // whose worker is to die
	Ended    int // whose results the parent has not taken yet

	Oldest time.Duration // for how long one that waits has waited; of those of which it is known, the longest
}

// A WorkerSnapshot is a place among the workers, and who has it.
type WorkerSnapshot struct {
	Place       int
	Pid         int    // 0: nobody is there
	Alive       bool   // as far as can be seen from here
	State       string // "vacant", "starting", "serving", "leaving", "killed" or "undead"
	Doing       string // "running", "looking", "napping", "sleeping" or "hungry", while it serves: the last waits for memory in a task
	Incarnation uint32
	Since       time.Time // when it was started
	Starts      uint64    // of workers in this place
	Ends        map[string]uint64

	// Since it was started.

	Ran     uint64 // tasks, and items of chunks
	Errors  uint64 // of these, errors and panics
	Batches uint64 // times that it took tasks
	Stolen  uint64 // tasks that another had taken
	Spins   uint64 // times that it looked for work for a while
	Naps    uint64 // times that it slept for a bounded time
	Sleeps  uint64 // times that it slept until it was woken
	Timed   uint64 // of the tasks and items, those that were timed
	Busy    time.Duration

	Taken int          // tasks that it has taken and not begun
	Task  *RunningTask // nil if it runs none
}

// A RunningTask is what a worker does.
type RunningTask struct {
	ID       uint64 // as in events
	Function string
	Items    uint64    // of a chunk; 1
	Done     uint64    // of these
	Since    time.Time // it has not begun earlier; at most a few milliseconds later
	Retry    bool      // it may begin again if the worker dies
}

// FunctionTimes are the times of the tasks of one function, of all workers that the pool has had in this memory. All tasks that took 10 µs or
// more are in Runs, of shorter ones some. Of waits, too, those of some tasks are not known when there are many tasks.
type FunctionTimes struct {
	Name  string
	Runs  Times // of a task or an item of a chunk
	Waits Times // from being accepted until it began
}

// MemorySnapshot is what is in a pool's memory: see [Pool.Memory].
type MemorySnapshot struct {
	shm.ArenaStats
	Classes []shm.SizeClass // of small blocks
}

// A Fault is an error that tasks of a function have had.
type Fault struct {
	Function    string
	Text        string // or its beginning
	Count       uint64
	First, Last time.Time
}
