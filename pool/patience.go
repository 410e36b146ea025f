package pool

import (
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
)

// A patience is for a worker that has so much time to do something, as to end. What its threads have to wait for a
// processor does not count: that a machine is busy is no reason to kill it, or to say that it cannot be killed. But
// there is an end to it.
type patience struct {
	proc    *process.Process
	limit   time.Duration
	killed  bool // so that nothing keeps it from dying but that it has no processor, if it is ready to run
	began   time.Time
	starved time.Duration // by then
}

// mostPatience is how many times longer it takes at most, on a machine that is busy.
const mostPatience = 6

// left is for how much longer it takes, 0 or less if the time is up.
func (w *patience) left() time.Duration {
	passed := time.Since(w.began)
	if passed >= mostPatience*w.limit {
		return w.limit - passed
	}
	if w.killed {
		if runnable, err := sys.Runnable(w.proc.Pid()); err == nil && runnable {
			return max(w.limit-passed, w.limit/10)
		}
		return w.limit - passed
	}
	starved, err := sys.RunDelay(w.proc.Pid())
	if err != nil {
		return w.limit - passed
	}
	return w.limit - passed + min(max(starved-w.starved, 0), passed)
}

// afterPatience calls f, on a goroutine of its own, when the time is up, unless the process has ended by then.
func afterPatience(proc *process.Process, limit time.Duration, f func()) {
	w := &patience{proc: proc, limit: limit, began: time.Now()}
	w.start(f)
}

// afterKill is afterPatience for a process that was just killed.
func afterKill(proc *process.Process, limit time.Duration, f func()) {
	w := &patience{proc: proc, limit: limit, killed: true, began: time.Now()}
	w.start(f)
}

func (w *patience) start(f func()) {
	proc, limit := w.proc, w.limit
	time.AfterFunc(limit/50, func() { // by when most have ended
		if !isDead(proc) {
			w.starved, _ = sys.RunDelay(proc.Pid())
			time.AfterFunc(limit-time.Since(w.began), func() { w.look(f) })
		}
	})
}

func (w *patience) look(f func()) {
	if isDead(w.proc) {
		return
	}
	if left := w.left(); left > 0 {
		time.AfterFunc(max(left, w.limit/10), func() { w.look(f) })
		return
	}
	f()
}
