// Package singlestep shows by tests that a process may be killed at any instruction:
// not at random ones, but at each.
//
// The operation under test runs in a process of its own, on a thread that [Prepare] has
// stopped. A [Walk] traces that thread and runs it instruction by instruction, the
// assembly and the runtime's code included, and looks at the shared bytes after each. It kills
// the process at one state of them:
//
//	func init() { singlestep.Child(operations) } // each: maps the memory, prepares, returns what is stepped
//
//	singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
//		// fresh memory in f, mapped at mem, and what has to be in it
//		require.NoError(t, w.Run("release", f, nil, mem))
//		// whoever survives goes on
//	})
//
// [Prove] has the function called with a Walk that lets the operation end, and then again for each
// state that there is, from the one before the first instruction to the one that the operation leaves.
//
// # What counts as a state
//
// Those who survive see the shared bytes and what the kernel keeps about them, and no more. So a state is
// the time from one change of the bytes to the next, or to the next system call of the operation's own that concerns
// them: a wake-up, memory given to them or taken from them, a sleep. Within a state it makes no difference where the process
// dies: one kill for each does. With SHMKIT_STEP=every in the environment the instructions are
// counted instead, and there is a kill after every one. That takes hours for all packages.
//
// An operation that is about to sleep on a shared word by the wall clock, which somebody may set, is an error.
//
// With -short every fourth state is taken. The race detector makes ten instructions of each: under it only some operations are
// stepped through ([Part]), and killed at every eighth state.
//
// # Caveats
//
// It needs ptrace. Where that is refused the tests fail and say so: a proof that was not made is none.
//
// Only Linux on amd64 has more than this file. On arm64 the trap after each instruction clears the exclusive monitor, so that a
// load-exclusive and store-exclusive pair never succeeds while it is stepped through.
//
// The other threads of the process run freely, one at a time where GOMAXPROCS is 1. The order in which the stepped thread writes is
// the one that others see on amd64; a machine that reorders stores is not shown by it.
package singlestep
