//go:build !linux || !(amd64 || arm64)

package sys

import (
	"sync/atomic"
	"time"
)

// MaxFutexes is how many words a [FutexSet] holds at most.
const MaxFutexes = 128

// CanFutexSet reports that there is no such thing on this system.
func CanFutexSet() bool { return false }

// A FutexSet cannot be used on this system.
type FutexSet struct{}

// Clear cannot be reached.
func (*FutexSet) Clear() { panic(unsupported("futex wait")) }

// Add cannot be reached.
func (*FutexSet) Add(*atomic.Uint32, uint32) { panic(unsupported("futex wait")) }

// Wait cannot be reached.
func (*FutexSet) Wait(time.Duration) { panic(unsupported("futex wait")) }
