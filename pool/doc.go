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
// # Guarantees
//
// Every accepted task ends exactly once, with a result or with an error. It runs at most
// once. A worker may be killed at any instruction: tasks that wait are run by others,
// finished ones keep their results, and the one it ran fails with [*WorkerDiedError].
// Workers never outlive their parent, SIGKILL of the parent included.
//
// Tasks and results cross in shared memory; while there is work, nobody makes a system
// call. A pool without work makes none either. The memory is anonymous: nothing is
// left behind, whatever dies.
//
// Tasks begin in about the order in which they were accepted, and end in any.
//
// # Caveats
//
// A worker is a new process, not a fork: it shares nothing with its parent but
// the program, the environment and what it is given. Package-level variables are initialised
// anew in each worker; a change to one stays where it was made. Workers read nothing
// from standard input. A task may start processes and goroutines of its own; those that
// outlive it are its own affair. A running task whose caller has gone is asked to end by
// its context.
//
// The race detector does not see shared memory; slices that a task is given are
// shared with nobody but the parent that waits.
package pool
