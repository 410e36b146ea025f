package pool

import (
	"time"

	"github.com/shmkit/shmkit/internal/sys"
)

// A tickPace tells whether a task took long by a counter that is cheaper to read than the clock. It learns the counter's pace from the clock.
type tickPace struct {
	ticks0 uint64 // when the clock was at time0
	time0  int64
	each   float64 // nanoseconds of a tick; 0: not known yet
	long   uint64  // ticks that tellEach takes
}

// learnFor is for how long the pace is measured.
const learnFor = int64(time.Millisecond)

func (p *tickPace) known() bool { return p.long > 0 }

// learn returns the ticks now, when the clock is at now.
func (p *tickPace) learn(now int64) uint64 {
	ticks := sys.Ticks()
	switch {
	case p.known():
	case p.time0 == 0:
		p.ticks0, p.time0 = ticks, now
	case now-p.time0 >= learnFor && ticks > p.ticks0:
		p.each = float64(now-p.time0) / float64(ticks-p.ticks0)
		p.long = max(uint64(float64(tellEach)/p.each), 1)
	}
	return ticks
}

// isLong reports whether so many ticks are tellEach or more. A counter that is another on another processor may say so of any task: the clock has
// the last word.
func (p *tickPace) isLong(ticks uint64) bool { return ticks >= p.long }

func (p *tickPace) nanoseconds(ticks uint64) int64 { return int64(min(float64(ticks)*p.each, 1<<62)) }
