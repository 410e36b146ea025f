// Package backoff is how shmkit waits for another process for a short while:
// it looks, pauses, and looks again, for a number of nanoseconds and not of turns,
// and then tells its caller to go to sleep for real.
package backoff

import (
	"sync"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
)

// look is how long a pause between two looks at a shared word lasts at most. Looking
// at full speed would slow down the writer of the word, whose cache line each look
// takes away; longer pauses would be felt in the hand-over.
const look = 40 * time.Nanosecond

// A Spin is one wait. The zero value is of no use: make it with [For].
type Spin struct {
	pauses uint32        // per look
	each   time.Duration // of a look
	left   int           // looks until the caller should sleep
}

// For returns a wait that spins for about budget.
func For(budget time.Duration) Spin {
	each := pauseTime()
	pauses := max(uint32(look/each), 1)
	each *= time.Duration(pauses)
	return Spin{pauses: pauses, each: each, left: int(budget / each)}
}

// Once pauses and reports whether the caller should look again; false means that
// the budget is used up and that it should sleep.
func (s *Spin) Once() bool {
	if s.left <= 0 {
		return false
	}
	s.left--
	sys.Pause(s.pauses)
	return true
}

// Long is Once with a pause of about d.
func (s *Spin) Long(d time.Duration) bool {
	if s.left <= 0 {
		return false
	}
	s.left -= max(int(d/s.each), 1)
	Pause(d)
	return true
}

// Pause spins for about d without a look at anything.
func Pause(d time.Duration) { sys.Pause(max(uint32(d/pauseTime()), 1)) }

// pauseTime measures what one pause costs here: 10 to 140 cycles, by processor. The
// least of a few short runs is taken, because an interruption only adds; and reading the clock, which
// is slow where it takes a system call, is no part of it.
var pauseTime = sync.OnceValue(func() time.Duration {
	const turns = 64
	return max((least(1+turns)-least(1))/turns, 1)
})

// least is the shortest time that some runs of so many pauses have taken.
func least(turns uint32) time.Duration {
	const runs = 8
	best := time.Duration(1 << 62)
	for range runs {
		start := time.Now()
		sys.Pause(turns)
		best = min(best, time.Since(start))
	}
	return best
}
