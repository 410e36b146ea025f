package pool

import (
	"math"
	"runtime"
	"time"

	"github.com/shmkit/shmkit/internal/backoff"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

const (
	// spinIdle is how long a worker looks for its next task before it sleeps.
	spinIdle = 100 * time.Microsecond

	// napTime bounds how long a task can wait behind a long one because another worker
	// naps instead of being woken.
	napTime = 200 * time.Microsecond

	// napPace is the time between tasks, of all workers, below which waking another worker
	// for a task costs more than it gains.
	napPace = 20 * time.Microsecond

	// shortPace is the time between tasks below which they are so short that handing them over
	// is most of the work: a worker more than there are processors only takes one away.
	shortPace = 2 * time.Microsecond

	// stealEvery is how often a spinner looks for what others have taken and not begun, in looks
	// at the ready ring.
	stealEvery = 64
)

// idling is what a worker knows of how fast tasks come.
type idling struct {
	cpus     int
	spinners int       // as many workers may spin at a time
	since    time.Time // when it last looked
	head     uint64    // of the ready ring, then
}

func newIdling(cpus int) idling {
	return idling{cpus: cpus, spinners: cpus - 1, since: time.Now()}
}

// wait returns when there may be work: after a spin, a nap or a sleep.
func (w *worker) wait() {
	w.unshare()
	w.owes = true
	w.diary.rest()
	if w.spin() {
		return
	}
	if w.pace() < napPace && w.nap() {
		return
	}
	w.sleep()
}

// spin looks for work for a short while, unless enough workers do so already: there are
// never more spinners than processors that the parent leaves.
func (w *worker) spin() (found bool) {
	idle := w.crowd.idle
	if w.crowd.count(idle.spinners[:]) >= w.idling.spinners {
		return false
	}
	telemetry.Raise(&w.diary.desk.Spins, 1)
	set(idle.spinners[:], w.index)
	s := backoff.For(spinIdle)
	for turn := 0; !found && s.Once(); turn++ {
		if turn%yieldEvery == yieldEvery-1 {
			sys.Yield()
		}
		found = !w.mem.ready.Empty() || turn%stealEvery == stealEvery-1 && (w.unwanted() || w.steal())
	}
	unset(idle.spinners[:], w.index) // a full fence; pairs with the look in crowd.call
	return found
}

// callNext pays what this worker owes. While it was in a set, calls were left out because of it; and calls for several tasks may all have
// found it alone. So with the first task that it claims afterwards, when it is in no set any more, it calls the next worker if any other task
// waits, in the ring or in a batch; and that does the same.
func (w *worker) callNext() {
	if !w.owes {
		return
	}
	w.owes = false
	if _, waits := w.mem.shared(-1); waits || !w.mem.ready.Empty() {
		w.crowd.call()
	}
}

// pace returns the time between two tasks, of all workers, since the last look.
func (w *worker) pace() time.Duration {
	now, head := time.Now(), w.mem.ready.Head()
	taken, passed := head-w.idling.head, now.Sub(w.idling.since)
	w.idling.head, w.idling.since = head, now
	if taken == 0 {
		return math.MaxInt64
	}
	return passed / time.Duration(min(taken, 1<<30))
}

// nap sleeps for a bounded time, as long as another worker is awake to take the tasks that
// come, and tasks come fast: or so fast that those who are awake are enough, there being no
// processor for one more beside them and the parent.
func (w *worker) nap() (found bool) {
	idle := w.crowd.idle
	if w.crowd.any(idle.nappers[:]) {
		return false
	}
	telemetry.Raise(&w.diary.desk.Naps, 1)
	set(idle.nappers[:], w.index)
	for again := true; again && !found && w.crowd.awake() > 0; {
		wake := w.area.wake.Load()
		if w.unwanted() {
			break
		}
		sys.FutexNap(&w.area.wake, wake, napTime)
		runtime.Gosched() // to what else runs in this process
		pace := w.pace()
		again = pace < napPace
		if pace > shortPace || w.crowd.awake() < w.idling.cpus-1 {
			found = !w.mem.ready.Empty() || w.steal()
		}
	}
	unset(idle.nappers[:], w.index) // a full fence; pairs with the look in crowd.call
	return found
}

// unwanted reports whether the pool stops, or wants this worker to end. Pairs with the stores in Pool.stopWorkers and
// Pool.retireWorker.
func (w *worker) unwanted() bool { return w.mem.ctl.stop.Load() != 0 || w.area.retire.Load() != 0 }

// sleep sleeps until somebody has work for this worker, or the pool stops. The order
// of its steps is explained at crowd.
func (w *worker) sleep() {
	idle := w.crowd.idle
	wake := w.area.wake.Load()
	set(idle.sleepers[:], w.index) // a full fence; pairs with the look in crowd.call
	if w.mem.ready.Empty() && !w.steal() && !w.unwanted() {
		if w.crowd.awake() == 0 {
			w.crowd.wakeNapper() // nobody is left who looks at once
		}
		w.diary.beginSleep()
		sys.FutexWait(&w.area.wake, wake, -1)
		w.diary.endSleep()
	}
	unset(idle.sleepers[:], w.index)
	w.idling.since, w.idling.head = time.Now(), w.mem.ready.Head()
}
