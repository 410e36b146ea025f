// Package explore runs the module's own algorithms under a scheduler that owns every access to shared memory: between any two it may let
// another process run, or have the one that runs crash. It goes through all executions of a scenario, or all that are near the simplest
// one, and through many others at random. Nothing is left to luck: whatever it finds, it finds again.
//
// # How
//
// The sources are those that are shipped, file by file. They are built with an overlay, in which the import of sync/atomic is that of
// package atomic beside this one, whose operations on shared memory are points of choice; a few files of internal/sys and
// internal/backoff are replaced, so that sleeping, waking and spinning are the scheduler's; and what a parent does by timers, signals and
// real processes is left to the scenario. The overlay, with all that it replaces, is in build_test.go. The memory is bytes of the heap. A
// process is a goroutine, of which one runs at a time.
//
// The scenarios are in files named explore_test.go or explore_..._test.go, with the build tag explore, in the packages whose algorithms they run. The tests of
// this package build and run them, as they are and with planted bugs, each of which must be found.
//
// # What a state is
//
// A search does not follow an execution that has come to a state that was there before: the same shared bytes, and each process with the
// same history of values that it has seen. Who reads shared bytes without an atomic says so by [Observe], and harness code must not
// know, nor check, anything that does not follow from these.
//
// # What is seen of memory
//
// Operations of sync/atomic are seen by all in one order. A store that is no fence (sys.ReleaseStore64) is seen by others at any time up
// to its process's next fence, as on amd64, so that a missing fence is found; that processor's stores of plain bytes are not held back.
// A crash may come after any change, with all bytes written by then. Sleeps that have a bound end when nothing else can happen, and
// if it is the scenario's wish only after a crash: otherwise somebody has lost a wake-up.
//
// # Caveats
//
// An access that is not by an atomic is no point of choice by itself: bytes written before an atomic operation are seen together. What
// lies in the memory of one process and is used by several of its goroutines is seen only where locks of package sync beside this one
// guard it.
package explore
