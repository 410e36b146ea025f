//go:build !linux || !(amd64 || arm64)

package sys

import (
	"sync/atomic"
	"time"
)

// CheckFutex returns an error that wraps [errors.ErrUnsupported] on this system.
func CheckFutex() error { return unsupported("use futex") }

// FutexWaitAs cannot be reached: no constructor succeeds on this system.
func FutexWaitAs(*atomic.Uint32, uint32, time.Duration, uint32) (timedOut bool) {
	panic(unsupported("futex wait"))
}

// FutexWakeAs cannot be reached: no constructor succeeds on this system.
func FutexWakeAs(*atomic.Uint32, uint32) int { panic(unsupported("futex wake")) }
