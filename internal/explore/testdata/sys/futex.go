package sys

import (
	"math"
	"time"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/explore/atomic"
)

const All = math.MaxInt32

func FutexWait(word *atomic.Uint32, val uint32, timeout time.Duration) (timedOut bool) {
	return explore.Wait(explore.BoundOf(timeout), math.MaxUint32, explore.Futex{Word: word, Load: word.At, Val: val})
}

func FutexNap(word *atomic.Uint32, val uint32, timeout time.Duration) (timedOut bool) {
	return explore.Wait(explore.Nap, math.MaxUint32, explore.Futex{Word: word, Load: word.At, Val: val})
}

func FutexWaitAs(word *atomic.Uint32, val uint32, timeout time.Duration, bits uint32) (timedOut bool) {
	return explore.Wait(explore.BoundOf(timeout), bits, explore.Futex{Word: word, Load: word.At, Val: val})
}

func FutexWake(word *atomic.Uint32, n int) int { return explore.Wake(word, n, math.MaxUint32) }

func FutexWakeAs(word *atomic.Uint32, bits uint32) int { return explore.Wake(word, All, bits) }

func CheckFutex() error { return nil }

const MaxFutexes = 128

func CanFutexSet() bool { return true }

type FutexSet struct{ words []explore.Futex }

func (s *FutexSet) Clear() { s.words = nil }

func (s *FutexSet) Add(word *atomic.Uint32, val uint32) {
	s.words = append(s.words, explore.Futex{Word: word, Load: word.At, Val: val})
}

func (s *FutexSet) Wait(timeout time.Duration) {
	explore.Step() // others may run since the set was filled
	explore.Wait(explore.BoundOf(timeout), math.MaxUint32, s.words...)
}
