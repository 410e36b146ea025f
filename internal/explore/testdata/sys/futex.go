package sys

import (
	"math"
	"time"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/explore/atomic"
)

const All = math.MaxInt32

func FutexWait(word *atomic.Uint32, val uint32, timeout time.Duration) (timedOut bool) {
	return explore.Wait(word, word.At, val, explore.BoundOf(timeout), math.MaxUint32)
}

func FutexNap(word *atomic.Uint32, val uint32, timeout time.Duration) (timedOut bool) {
	return explore.Wait(word, word.At, val, explore.Nap, math.MaxUint32)
}

func FutexWaitAs(word *atomic.Uint32, val uint32, timeout time.Duration, bits uint32) (timedOut bool) {
	return explore.Wait(word, word.At, val, explore.BoundOf(timeout), bits)
}

func FutexWake(word *atomic.Uint32, n int) int { return explore.Wake(word, n, math.MaxUint32) }

func FutexWakeAs(word *atomic.Uint32, bits uint32) int { return explore.Wake(word, All, bits) }

func CheckFutex() error { return nil }
