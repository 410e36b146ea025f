//go:build race

package sys

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// The race detector does not see atomics in a mapping. A lock whose words lie in one
// says here, with a word of its handle in the Go heap, what it orders: everything
// before RaceRelease(w) happens before what follows a later RaceAcquire(w).

// RaceAcquire tells the race detector that a lock was taken.
func RaceAcquire(w *atomic.Uint32) { runtime.RaceAcquire(unsafe.Pointer(w)) }

// RaceRelease tells the race detector that a lock is about to be given back.
func RaceRelease(w *atomic.Uint32) { runtime.RaceReleaseMerge(unsafe.Pointer(w)) }
