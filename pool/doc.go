// Package pool spreads CPU-heavy work over child processes that are called like
// functions. Each can crash, leak, hang or be killed without harm to the others: only
// the task that it ran fails, and it is replaced.
//
//	var square = pool.Func("square", func(ctx context.Context, x int) (int, error) { return x * x, nil })
//
//	func main() {
//		pool.Main() // in a worker: serve and never return
//		p, err := pool.New(pool.Options{})
//		...
//		y, err := square.Call(ctx, p, 12)
//	}
//
// # Large data
//
// A [Block] is an array in shared memory that changes hands: to a task and back nothing is copied, whatever its size. A
// [Frozen] is read by any number of tasks at once. A slice is copied once on its way to a task, which sees the copy in
// place, and twice on its way back, or once if it was made by [MakeResult]. A *shm.File in an argument lets workers read a
// file that this process has opened, all the same pages.
//
// All of that lies in memory of which Options.Memory bounds the size. Who wants some waits while there is no
// room. What cannot fit ever, and tasks that wait for each other's memory, get an error.
//
// # Guarantees
//
// Every accepted task ends exactly once, with a result or with an error. It runs at most
// once, unless it has [Retries]. A worker may be killed at any instruction: tasks that wait are run by others,
// finished ones keep their results, and the one it ran fails with [*WorkerDiedError].
// Workers never outlive their parent, SIGKILL of the parent included.
//
// A block has one holder: this process or a task. It moves when the task is accepted, comes back if the task never ran, and is
// freed with a task that does not return it, or that dies. What a dead worker held is freed. So is the memory that
// waits for whoever comes next, after a second or two.
//
// Shared memory that holds what no honest worker can have written is given up: the workers are killed, and the pool goes on with
// new ones in new memory. Tasks that had been accepted fail with [ErrCorrupted], those aside that may be retried. What a
// wild write has turned into another value that is possible is not found out.
//
// Tasks and results cross in shared memory; while there is work, nobody makes a system
// call. A pool without work makes none either. The memory is anonymous: nothing is
// left behind, whatever dies.
//
// A worker that died and cannot be replaced, for lack of descriptors, processes or memory, is missing until it can: the pool goes
// on with the others, and tries again and again, ever less often. If there are no others the pool ends after a few attempts, and its
// tasks fail with the reason. One that was killed and does not die, because the kernel does not let it, is not waited for.
//
// [Pool.Resize] and [Pool.Rebuild] change the workers, and the memory, of a pool that runs; no task is lost by either. What a worker may
// use is bounded by [Options]: one that uses too much ends after its task, or with it.
//
// Tasks begin in about the order in which they were accepted, and end in any.
//
// # Caveats
//
// A worker is a new process, not a fork: it shares nothing with its parent but
// the program, the environment and what it is given. Package-level variables are initialised
// anew in each worker; a change to one stays where it was made. Workers read nothing
// from standard input. A task may start processes and goroutines of its own; those that
// outlive it are its own affair. A running task whose caller has gone, or whose time is up, is asked to end by its context, and
// ended with its worker when it has not after Options.Grace. So is a worker that was stopped, and does not go on while there are
// tasks. A task without a deadline may run for ever, and Close waits for it.
//
// A block that the program holds stays valid when the pool gets new memory, but no task takes it any more.
//
// The Go runtime ends a process for which there is no memory or no thread. A worker ends alone; the pool of a parent ends with it.
//
// A slice of a block that is used after the block was handed over or released sees what others do there. With SHMKIT_GUARD=1
// in the environment of the program it faults instead, in the process that is at fault, and the traceback shows the
// line: at the price of 64 KiB for each block and a system call or two for each hand-over.
//
// The race detector does not see shared memory; slices that a task is given are
// shared with nobody but the parent that waits.
package pool
