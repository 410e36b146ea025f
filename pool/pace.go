package pool

import "time"

const (
	// shortestNap is about twice what it takes to be woken: below it a nap gains nothing.
	shortestNap = 50 * time.Microsecond

	// longestNap bounds how late a result is noticed because many are still to come.
	longestNap = 10 * time.Millisecond

	// sureEndings is how many endings it takes to believe that tasks have become shorter.
	sureEndings = 8

	// napShare is the part of the tasks in flight for which the reaper naps.
	napShare = 8
)

// A pace is how fast tasks have ended lately, as the reaper sees it.
type pace struct {
	since time.Time
	ended uint64        // tasks, then
	each  time.Duration // time from one end to the next; smoothed
}

// nap returns how long the reaper may look away, 0 for not at all, when so many tasks wait for a worker and
// so many have ended: until about one in eight of those that wait could have ended, so
// that workers need not wake it for each. A task that runs says nothing about when the next ends.
func (p *pace) nap(queued int, ended uint64) time.Duration {
	now := time.Now()
	if n := ended - p.ended; n > 0 && !p.since.IsZero() {
		p.sample(now.Sub(p.since)/time.Duration(n), n >= sureEndings)
	}
	p.since, p.ended = now, ended
	nap := p.each * time.Duration(queued) / napShare
	if nap < shortestNap {
		return 0
	}
	return min(nap, longestNap)
}

// sample takes a look's time per end in. The pace can seem slower than it is, since somebody else had the
// processor or the reaper has looked away for too long, and not faster: so it slows down by and by,
// and speeds up at once.
func (p *pace) sample(each time.Duration, sure bool) {
	switch {
	case p.each == 0 || sure && each < p.each:
		p.each = each
	case each > p.each:
		p.each += min(each-p.each, 2*p.each) / 2
	default:
		p.each -= (p.each - each) / 2
	}
}

// pause leaves the time until the next end out.
func (p *pace) pause() { p.since = time.Time{} }
