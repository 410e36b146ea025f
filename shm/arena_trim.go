package shm

// trimAtOnce bounds how many units nobody can take while their memory goes back.
const trimAtOnce = 1024

// Trim gives the memory of units back to the system that were free at the last call already. It reports
// whether there are others that have memory: for those it is worth calling again. One process does so for all, from time to
// time.
func (a *Arena) Trim() (more bool) { return a.trim(1) }

// TrimAll gives the memory of all free units back.
func (a *Arena) TrimAll() { a.trim(0) }

func (a *Arena) trim(age uint32) (more bool) {
	if a.backing == nil {
		return false
	}
	now := a.ctl.epoch.Add(1)
	top := int(a.top())
	for u := 0; u < top; {
		ripe, backed := a.ripe(u, top, now, age)
		if !ripe {
			more = more || backed
			u += a.grain
			continue
		}
		end := u + a.grain
		for end < top && end-u < trimAtOnce {
			if ripe, _ := a.ripe(end, top, now, age); !ripe {
				break
			}
			end += a.grain
		}
		more = a.punch(u, min(end, top)) || more
		u = end
	}
	return more
}

// ripe reports whether the units that share a page with u are all free, and long enough; backed, whether some of them
// are free and have memory.
func (a *Arena) ripe(u, top int, now, age uint32) (ripe, backed bool) {
	ripe = true
	for ; u < top && a.grain > 0; u++ {
		w := blockWord(a.words[u].Load())
		if w.state() != blockFree {
			ripe = false
		} else if w.backed() {
			backed = true
			ripe = ripe && (now-1-w.epoch())&maxEpoch >= age
		}
		if (u+1)%a.grain == 0 {
			break
		}
	}
	return ripe && backed, backed
}

// punch claims the units in [from, to) and gives their memory back. Those that somebody has taken meanwhile are left out, with
// all that share a page with them: it reports whether some of these have memory.
func (a *Arena) punch(from, to int) (left bool) {
	had := make([]bool, 0, to-from)
	end := from
	for end < to {
		w := blockWord(a.words[end].Load())
		if w.state() != blockFree || !a.words[end].CompareAndSwap(uint64(w), uint64(w.next(blockClaimed, a.self))) {
			break
		}
		had = append(had, w.backed())
		end++
	}
	whole := end
	if end < to {
		whole = end / a.grain * a.grain
	}
	gone := whole > from && a.backing.Punch(a.unitOff(from), int64(whole-from)*unitBytes) == nil
	for u := from; u < end; u++ {
		backed := had[u-from] && !(gone && u < whole)
		left = left || backed
		a.set(u, backed)
	}
	a.rewind(from)
	return left
}
