// Package owner tells who is alive. A word of shared memory names the process that
// owns something by an [ID], which fits into 64 bits, so that taking ownership over
// is one compare-and-swap; [ID.Alive] then tells whether that very process still
// runs, whoever has its pid by now. [Watch] waits for the end of a process without
// costing a thread, and [ID.OnEnd] has something done then.
//
// # Guarantees
//
// An ID is never given twice while the machine runs: it is made of the pid and of the
// time at which the process started, and a pid is not reused within one tick of
// that clock (10 ms). Alive returns false only with the kernel's proof. A process
// that has ended but was not reaped yet is not alive.
//
// # Caveats
//
// IDs mean something among processes that share a pid namespace, a time namespace
// and a readable /proc, all of which parents and children do unless told otherwise. Of the first, [Init] leaves a note
// in the header of what has IDs in it, by which [Check] refuses others. A process that unshares its PID namespace stays in its own, and its
// children are in another.
package owner
