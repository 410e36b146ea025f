package pool

import (
	"time"

	"github.com/shmkit/shmkit/internal/backoff"
)

// A gather is how a worker that is faster than those who give it tasks lets a few of them
// come before it looks again. Each look takes the line with the next hint away from the
// parent, which then has to fetch it for the next push: a worker that looks all the
// time makes its own work come late.
type gather struct {
	pause  time.Duration // before a look; 0: look at once
	streak int           // looks in a row that found something soon
	need   int           // as many make it worth a try
}

const (
	gatherFrom = 16   // quick looks before the first try
	gatherRest = 1024 // at most
	gatherLow  = 250 * time.Nanosecond
	gatherHigh = time.Microsecond
	gatherGoal = 8 // hints for each look are enough

	// gatherGap is the longest time between two hints that come one after the other without
	// waiting for a result: nobody gets a result back and gives the next task sooner.
	gatherGap = 150 * time.Nanosecond
)

func newGather() gather { return gather{need: gatherFrom} }

// wait is called before a look.
func (g *gather) wait() {
	if g.pause > 0 {
		backoff.Pause(g.pause)
	}
}

// late is told that a look found nothing, and that nothing came within gatherGap either.
func (g *gather) late() { g.streak = 0 }

// found is told what the look after wait found.
func (g *gather) found(n int) {
	switch {
	case g.pause == 0:
		if n == 0 {
			return // it may come soon
		}
		if g.streak++; g.streak >= g.need {
			g.pause = gatherLow
		}
	case time.Duration(n)*gatherGap < g.pause: // they do wait for results
		g.pause, g.streak = 0, 0
		g.need = min(2*g.need, gatherRest)
	case n < gatherGoal:
		g.pause = min(2*g.pause, gatherHigh)
	default:
		g.need = gatherFrom
	}
}
