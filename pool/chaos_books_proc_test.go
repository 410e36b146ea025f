//go:build linux && (amd64 || arm64)

package pool

import (
	"errors"
	"slices"
	"syscall"
)

// An audit compares what the callers know, what the workers have noted and what the pool says of itself.
type audit struct {
	*books
	r      *round
	fates  map[uint64]*fate
	blamed map[uint64]uint64 // which chore has told of a worker's death
	lost   []uint64          // chores that were surely accepted, of which nobody knows anything
	seen   [issues]uint64
	sent   uint64 // chores that were surely accepted
	doomed uint64 // those that may have taken their worker with them because of their context or time
}

func (r *round) audit(b *books, fates []*fate) {
	a := &audit{books: b, r: r, fates: map[uint64]*fate{}, blamed: map[uint64]uint64{}}
	for _, f := range fates {
		a.fates[f.ID] = f
		a.fate(f)
	}
	for pid, w := range b.workers {
		a.end(pid, w)
	}
	a.numbers(uint64(len(fates)))
}

// fate checks what became of one chore.
func (a *audit) fate(f *fate) {
	a.seen[f.issue]++
	if f.sent || f.issue == gotResult || f.issue == gotError || f.issue == gotDeath {
		a.sent++
	}
	if f.ID >= firstTick {
		a.tick(f)
		return
	}
	c := a.chore(f.ID)
	if f.issue == gotEnd || f.issue == gotNothing {
		a.doomed += uint64(len(c.begun))
	}
	a.tries(f, c)
	if (f.held || f.issue == gotRefusal) && len(c.begun) > 0 {
		a.r.wrong("chore %d was begun, but its block came back or it was refused: %+v", f.ID, f)
	}
	switch f.issue {
	case gotResult, gotError:
		a.returned(f, c)
	case gotDeath:
		a.died(f, c)
	case gotNothing:
		a.forgotten(f, c)
	}
}

// tick is fate for those of which there are only numbers.
func (a *audit) tick(f *fate) {
	n := a.r.ticks[f.ID-firstTick] // plain: all workers are dead
	begun, ended := n%tickEnded, n/tickEnded
	if begun > uint32(1+f.retries) || ended > begun {
		a.r.double("tick %d was begun %d times and ended %d times, of at most %d", f.ID-firstTick, begun, ended, 1+f.retries)
	}
	if f.issue == gotRefusal && begun > 0 || f.issue == gotResult && ended == 0 {
		a.r.wrong("tick %d was begun %d times and ended %d times: %+v", f.ID-firstTick, begun, ended, f)
	}
	if f.issue == gotEnd {
		a.doomed += uint64(begun)
	}
	if f.issue == gotDeath {
		a.died(f, &record{})
	}
}

// tries checks how often a chore was run, and when.
func (a *audit) tries(f *fate, c *record) {
	most := 1
	if !f.carried { // nobody knows what its worker has done to the block
		most += f.retries
	}
	if len(c.begun) > most || len(c.ended) > len(c.begun) {
		a.r.double("chore %d was begun %d times and ended %d times, of at most %d: %v %v", f.ID, len(c.begun), len(c.ended), most, c.begun, c.ended)
	}
	for k := 1; k < len(c.begun); k++ {
		if before := c.begun[k-1]; a.books.worker(before.pid).at > c.begun[k].at {
			a.r.double("chore %d was begun by worker %d before worker %d, which ran it, was dead", f.ID, c.begun[k].pid, before.pid)
		}
	}
}

// returned checks a chore that has returned something: it has come to its end, where its result says.
func (a *audit) returned(f *fate, c *record) {
	if len(c.begun) == 0 || len(c.ended) == 0 {
		a.r.wrong("chore %d has an outcome and was not run: %+v", f.ID, f)
		return
	}
	by := c.ended[len(c.ended)-1].pid
	if by != c.begun[len(c.begun)-1].pid || f.issue == gotResult && by != f.pid {
		a.r.wrong("chore %d was begun by %v and ended by %v, but its result is worker %d's", f.ID, c.begun, c.ended, f.pid)
	}
}

// died checks a chore whose worker has died: for a reason, and of that alone.
func (a *audit) died(f *fate, c *record) {
	var pids []uint64
	for _, d := range append(slices.Clone(f.death.Earlier), f.death) {
		pid := uint64(d.Pid)
		pids = append(pids, pid)
		if other, ok := a.blamed[pid]; ok {
			a.r.wrong("worker %d died once, but chores %d and %d say that it was theirs", pid, other, f.ID)
		}
		a.blamed[pid] = f.ID
		if !a.explains(a.books.worker(pid), f, d) {
			a.r.wrong("chore %d, deed %d: nothing that was done explains %v; %+v", f.ID, f.Deed, d, a.books.worker(pid))
		}
	}
	for _, m := range c.begun {
		if !slices.Contains(pids, m.pid) {
			a.r.wrong("chore %d was begun by %v, but those that died were %v", f.ID, c.begun, pids)
		}
	}
	tries := f.retries
	if f.carried {
		tries = 0
	}
	if len(f.death.Earlier) != tries && !errors.Is(f.death, errUndead) { // which nobody retries
		a.r.wrong("chore %d may begin again %d times, and has failed after %d deaths before: %v", f.ID, tries, len(f.death.Earlier), f.death)
	}
}

// explains reports whether a worker can have died like that while it ran f.
func (a *audit) explains(w *life, f *fate, d *WorkerDiedError) bool {
	own := w.ended && w.last == f.ID
	switch {
	case w.ended && !own:
		return false // it has told who was to blame
	case errors.Is(d, errStopped):
		return w.hit(syscall.SIGSTOP)
	case d.Signal == syscall.SIGKILL.String(): // which the pool sends, too, to those that were stopped
		return own && f.Deed == suicide || w.hit(syscall.SIGKILL, syscall.SIGSTOP)
	case d.Signal != "":
		return false
	case d.ExitCode == quitCode:
		return own && f.Deed == quit
	case d.ExitCode == 2: // the Go runtime's
		return own && (f.Deed == segfault || f.Deed == crash) || w.hit(syscall.SIGSEGV)
	}
	return false
}

// forgotten checks a chore that nobody has waited for. One that was accepted and not run has died with its worker.
func (a *audit) forgotten(f *fate, c *record) {
	switch {
	case !f.sent || f.bound != unbound: // or there are reasons enough
	case len(c.begun) == 0:
		a.lost = append(a.lost, f.ID)
	case len(c.ended) == 0:
		if w := a.books.worker(c.begun[len(c.begun)-1].pid); !w.ended && !w.hit(syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGSEGV) {
			a.r.wrong("chore %d was begun by worker %d and not ended, though nothing was done to it", f.ID, c.begun[0].pid)
		}
	}
}

// end checks that a worker has ended for a reason, and in time.
func (a *audit) end(pid uint64, w *life) {
	if most := a.r.p.opts.MaxTasksPerWorker; most > 0 && w.chores > most {
		a.r.wrong("worker %d has run %d chores, of at most %d", pid, w.chores, most)
	}
	if !w.born || w.left || w.ended || len(w.hits) > 0 {
		return
	}
	if f := a.fates[w.latest]; f != nil && (f.issue == gotEnd || f.issue == gotNothing) {
		return // it took it too long to go, so it was killed
	}
	a.r.wrong("worker %d, last seen at chore %d, has died, and nothing was done to it", pid, w.latest)
}

// numbers checks sums.
func (a *audit) numbers(made uint64) {
	s := a.r.p.Stats()
	if s.Accepted != s.Succeeded+s.Failed+s.Cancelled || s.Outstanding != 0 || s.Dropped != 0 {
		a.r.lose("of the tasks: %v", s)
	}
	unseen := a.seen[gotNothing] + a.seen[gotEnd]
	if s.Accepted < a.sent || s.Accepted > made-a.seen[gotRefusal] {
		a.r.wrong("%d chores were made, %d refused and %d surely accepted: %v", made, a.seen[gotRefusal], a.sent, s)
	}
	if good := a.seen[gotResult]; s.Succeeded < good || s.Succeeded > good+unseen {
		a.r.wrong("%d results were seen, %d may not have been: %v", good, unseen, s)
	}
	if bad := a.seen[gotError] + a.seen[gotDeath]; s.Failed < bad || s.Failed > bad+unseen {
		a.r.wrong("%d errors were seen, %d may not have been: %v", bad, unseen, s)
	}
	var hit, own, born, unborn, spare uint64
	for pid, w := range a.workers {
		switch _, told := a.blamed[pid]; {
		case w.ended:
			own++
		case len(w.hits) > 0:
			if hit++; !told {
				spare++
			}
		}
		if w.born {
			born++
		} else {
			unborn++
		}
	}
	if s.Deaths > hit+own+a.doomed {
		a.r.wrong("%d workers were hit, %d have ended themselves, %d chores may have been ended: %v", hit, own, a.doomed, s)
	}
	if s.Started < born || s.Started > born+unborn {
		a.r.wrong("%d workers were born, %d were hit before that: %v", born, unborn, s)
	}
	if uint64(len(a.lost)) > spare {
		a.r.lose("%d chores that were accepted have left no trace, and only %d deaths may be theirs: %v", len(a.lost), spare, a.lost)
	}
}
