//go:build !linux || !(amd64 || arm64)

package sys

import (
	"math"
	"sync/atomic"
	"time"
)

// All, given to [FutexWake], wakes every waiter.
const All = math.MaxInt32

// FutexWait cannot be reached: no constructor succeeds on this system.
func FutexWait(*atomic.Uint32, uint32, time.Duration) (timedOut bool) {
	panic(unsupported("futex wait"))
}

// FutexNap cannot be reached: no constructor succeeds on this system.
func FutexNap(*atomic.Uint32, uint32, time.Duration) (timedOut bool) {
	panic(unsupported("futex nap"))
}

// FutexWake cannot be reached: no constructor succeeds on this system.
func FutexWake(*atomic.Uint32, int) int { panic(unsupported("futex wake")) }
