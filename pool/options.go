package pool

import (
	"fmt"
	"math"
	"os"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
)

// Options are the settings of a pool. The zero value suits most programs.
type Options struct {
	// Name is seen in ps, in /proc and in errors. Default: the program's name.
	Name string

	// Workers is the number of worker processes. Default: the CPUs that this process
	// may really use, by its affinity and its control group's quota.
	Workers int

	// MaxWorkers bounds what Resize may be asked for. Default: four times Workers, at least 16.
	MaxWorkers int

	// Queue is how many tasks may be accepted and not yet finished: a call beyond it waits
	// for one to finish. Default: 2048.
	Queue int

	// Memory bounds, in bytes, the blocks and the large arguments and results that are in the pool at one
	// time; values of up to 256 bytes do not count. Arguments have half of it, so that there is room for
	// results. It is rounded up to a multiple of 64 KiB. Memory is used only while it holds something, and for a
	// second or two afterwards. Default: half of what the machine or the control group has.
	Memory int64

	// HugePages says in what pages Memory comes: large ones cost less to look up, which shows in large blocks. Default:
	// small ones.
	HugePages HugePages

	// Init runs in each worker before its first task: setup.With(args), setup being
	// made by [InitFunc]. If it fails, New fails.
	Init Initialiser

	// OnExit runs in each worker when it ends in an orderly way: with its pool, or because its task was to end and did not. It is
	// made like Init. A worker that has not ended a second after it was told to, or five after its pool was closed, is killed.
	OnExit Initialiser

	// MaxTasksPerWorker is how many tasks, or items of a Map, a worker runs before it ends in an orderly way and is replaced:
	// for code that leaks. Default: any number.
	MaxTasksPerWorker int

	// MaxMemoryPerWorker is how much memory of its own, in bytes, a worker may use, in RAM and swap: the pool's blocks do not
	// count. One that uses more ends after its task in an orderly way and is replaced. Looked at while tasks run, 20 times
	// a second. Default: any.
	MaxMemoryPerWorker int64

	// KillMemoryPerWorker is how much it may use at all: one that uses more is killed at once, and its task fails with an error in which
	// errors.Is finds [ErrMemoryLimit]. Default: any.
	KillMemoryPerWorker int64

	// Retries is how often a task may begin again whose worker died: see the call option of that name. Default: never.
	Retries int

	// TaskTimeout bounds how long each task, or each item of a Map, may run: see [Timeout]. Default: for ever.
	TaskTimeout time.Duration

	// Grace is how long a task may go on once its context has ended, and a worker that was stopped (SIGSTOP, but not by a debugger) may
	// stay so while there are tasks. Then the worker is ended and replaced. Default: 3 s.
	Grace time.Duration

	// Env is added to this process's environment in the workers, as "key=value".
	Env []string

	// Dir is the working directory of the workers. Default: this process's.
	Dir string

	// Stderr is the standard error of the workers. Default: this process's.
	Stderr *os.File

	// CrashDir is a directory in which each death of a worker that should have gone on leaves a file NAME-PARENT-WORKER.crash, with the pids: what the
	// worker was doing, its last events, its traceback, and how the pool stood. [Observe] opens it, and so does shmctl --file. It holds no arguments or
	// results. A pool leaves a hundred at most, and removes none. Default: no files.
	CrashDir string

	// Limits bound what each worker, and what it starts, may use. Exceeding one fails the task or ends its worker, which is
	// replaced: the Go runtime ends a process that gets no memory. RLIMIT_AS counts Memory, too, and all that the runtime sets
	// aside; RLIMIT_DATA only what a worker has for itself. RLIMIT_CPU counts a worker's whole life.
	Limits []process.Limit

	// Nice is the niceness of the workers, from -20 (the most urgent) to 19. 0: this process's. To go below that takes a
	// privilege.
	Nice int

	// CPUs are those on which the workers may run: worker i on CPUs[i%len(CPUs)], by the kernel's numbers. So {{0}, {1}, {2}} gives
	// each of three workers a CPU of its own, and {{0, 1}} leaves two to all. A worker whose list is empty runs where
	// this process may. Default: all do.
	CPUs [][]int

	// GOMAXPROCS of each worker. Default: its share of the CPUs when it starts, at least 1 and at most as many as the longest list of CPUs has.
	GOMAXPROCS int

	// GOMEMLIMIT is the soft limit, in bytes, of the memory that the Go runtime of each worker uses;
	// the pool's shared memory does not count. Default: what GOMEMLIMIT in the workers' environment
	// says; where that says nothing, the worker's share of 80 % of what the machine or the control
	// group has, at least 64 MiB.
	GOMEMLIMIT int64

	cpus  int   // that there are, for parent and workers
	total int64 // bytes of memory, likewise
}

// HugePages is a kind of pages. Memory is taken and given back by the page.
type HugePages int

// The kinds of pages.
const (
	// SmallPages are what every system has.
	SmallPages HugePages = iota

	// TransparentHugePages are huge where the system has some, and small elsewhere. New fails if the system gives shared memory
	// none: see /sys/kernel/mm/transparent_hugepage/shmem_enabled.
	TransparentHugePages

	// ReservedHugePages are those that the administrator has set aside: see /proc/sys/vm/nr_hugepages. When they are used up,
	// memory is short.
	ReservedHugePages
)

const (
	defaultQueue = 2048
	defaultGrace = 3 * time.Second

	// memoryUnit is what Memory is rounded up to.
	memoryUnit = 64 << 10

	// leastHeap is the least that is shared out to a worker: with less, it would
	// spend its time in the garbage collector and free nothing by it.
	leastHeap = 64 << 20
)

// withDefaults fills in what is left out, and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	for _, c := range []struct {
		name      string
		got, most int64
	}{
		{"Workers", int64(o.Workers), maxWorkers},
		{"MaxWorkers", int64(o.MaxWorkers), maxWorkers},
		{"MaxMemoryPerWorker", o.MaxMemoryPerWorker, 1 << 62},
		{"KillMemoryPerWorker", o.KillMemoryPerWorker, 1 << 62},
		{"Queue", int64(o.Queue), maxSlots},
		{"Memory", o.Memory, maxMemory},
		{"MaxTasksPerWorker", int64(o.MaxTasksPerWorker), math.MaxInt32},
		{"Retries", int64(o.Retries), math.MaxInt32},
		{"TaskTimeout", int64(o.TaskTimeout), math.MaxInt64},
		{"Grace", int64(o.Grace), math.MaxInt64},
		{"HugePages", int64(o.HugePages), int64(ReservedHugePages)},
		{"GOMAXPROCS", int64(o.GOMAXPROCS), 1 << 16},
		{"GOMEMLIMIT", o.GOMEMLIMIT, 1 << 62},
	} {
		if c.got < 0 || c.got > c.most {
			return o, fmt.Errorf("option %s is %d: it must be between 0 (for the default) and %d", c.name, c.got, c.most)
		}
	}
	o.cpus = sys.CPUs()
	o.total = sys.MemoryTotal()
	if o.Workers == 0 {
		o.Workers = min(o.cpus, maxWorkers)
		if o.MaxWorkers > 0 {
			o.Workers = min(o.Workers, o.MaxWorkers)
		}
	}
	if o.MaxWorkers == 0 {
		o.MaxWorkers = min(max(4*o.Workers, 16), maxWorkers)
	}
	if o.Workers > o.MaxWorkers {
		return o, fmt.Errorf("option Workers is %d: MaxWorkers is only %d", o.Workers, o.MaxWorkers)
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if o.Memory == 0 {
		o.Memory = min(max(o.total/2, pageBytes), maxMemory)
	}
	o.Memory = layout.Align(o.Memory, memoryUnit)
	if o.Name == "" {
		o.Name = programName()
	}
	if o.CrashDir != "" {
		if info, err := os.Stat(o.CrashDir); err != nil {
			return o, fmt.Errorf("option CrashDir: %w", err)
		} else if !info.IsDir() {
			return o, fmt.Errorf("option CrashDir is %q: it is not a directory", o.CrashDir)
		}
	}
	return o, nil
}

// shared fills in what is a worker's share if there are so many.
func (o Options) shared(workers int) Options {
	if o.GOMAXPROCS == 0 {
		o.GOMAXPROCS = max(min(o.cpus/workers, o.widest()), 1)
	}
	if o.GOMEMLIMIT == 0 && o.environment(memoryLimitKey) == "" { // else 0 stays: the worker's runtime has read it
		o.GOMEMLIMIT = heapShare(o.total, workers)
	}
	return o
}

// widest returns on how many CPUs some worker may run at most.
func (o Options) widest() (n int) {
	if len(o.CPUs) == 0 {
		return o.cpus
	}
	for _, list := range o.CPUs {
		if len(list) == 0 {
			return o.cpus
		}
		n = max(n, len(list))
	}
	return n
}

// cpusOf returns the CPUs of the worker at that place, nil for all.
func (o Options) cpusOf(index int) []int {
	if len(o.CPUs) == 0 {
		return nil
	}
	return o.CPUs[index%len(o.CPUs)]
}

// heapShare is what each of several workers may use of so much memory in all. A fifth is
// left for the parent, and for what no Go runtime counts.
func heapShare(total int64, workers int) int64 {
	return max(total/5*4/int64(workers), leastHeap)
}
