package explore

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

// world is the execution that goes on, nil outside of one. It is no atomic: those who look at it run one after the other.
var world *World

// A World is one execution of a scenario: its shared memory, its processes, and who of them runs. It is made anew for each.
type World struct {
	search    *search
	processes []*Process
	regions   []*region
	plain     []*region
	sleepers  []*Process // whom futexes can wake, in the order in which they went to sleep
	check     func() error

	running  *Process // nil: the test itself does, and nothing is hooked
	over     chan struct{}
	aborting bool // every process ends at its next hook
	finding  *Finding

	tick                         time.Duration
	steps, delays, crashes, last int
	words                        uint64 // hash of the shared words
	clean                        uint64 // hash of the plain bytes when it was last chosen who runs
}

// A Finding is what is wrong with an execution.
type Finding struct{ Kind, Text string }

// Kinds of findings that exploration itself makes.
const (
	LostWakeup = "lost wake-up"
	Livelock   = "livelock"
	Panicked   = "panic"
	Wrong      = "wrong end" // what Check has returned
)

// Check has f called when all processes have ended.
func (w *World) Check(f func() error) { w.check = f }

// state is a hash of all that decides how the execution can go on.
func (w *World) state() uint64 {
	h := mix(mix(w.clean, w.words), uint64(w.crashes))
	for _, q := range w.processes {
		h = mix(h, q.history)
		h = mix(h, uint64(q.state))
		for _, s := range q.stores {
			h = mix(mix(h, w.place(s.addr)), s.value)
		}
	}
	for _, q := range w.sleepers {
		for _, word := range q.words {
			h = mix(h, w.place(word)<<8|uint64(q.index))
		}
	}
	if w.search.bounded() { // who runs on, or is next in turn, is no delay
		h = mix(h, uint64(w.last))
	}
	return h
}

// run executes the world until nobody can go on, or until it is aborted, and leaves no goroutine behind.
func (w *World) run() {
	world = w
	defer func() { world = nil }()
	w.over = make(chan struct{})
	w.last = len(w.processes) - 1
	w.hashAll()
	for _, p := range w.processes {
		go p.live()
	}
	if p := w.choose(nil); p != nil {
		w.running = p
		p.turn <- struct{}{}
		<-w.over
	}
	for _, p := range w.processes {
		if !p.unwound {
			w.aborting, p.dying, w.running = true, true, p
			p.turn <- struct{}{}
			<-w.over
		}
	}
	w.running = nil
	if w.finding == nil && !w.search.pruned && w.check != nil {
		w.verify()
	}
}

// verify looks at how the execution has ended.
func (w *World) verify() {
	defer func() {
		if v := recover(); v != nil {
			w.find(Wrong, fmt.Sprintf("%v\n%s", v, debug.Stack()))
		}
	}()
	if err := w.check(); err != nil {
		w.find(Wrong, err.Error())
	}
}

// find notes what is wrong; the first of several counts.
func (w *World) find(kind, text string) {
	if w.finding == nil {
		w.finding = &Finding{kind, text}
	}
	w.aborting = true
}

// A choice is what happens next.
type choice struct {
	act     act
	process *Process
}

type act uint8

const (
	proceed act = iota // the process runs
	drain              // the oldest store that it has buffered becomes visible
	crash              // it dies where it stands
	expire             // its bounded sleep ends
)

func (c choice) String() string {
	return [...]string{"runs", "has its oldest store seen", "crashes", "slept long enough"}[c.act]
}

// choose decides what happens until some process is to run, and returns it: nil at the end. p is who runs now, nil if nobody can go on
// where he is.
func (w *World) choose(p *Process) *Process {
	for {
		if w.aborting {
			return nil
		}
		w.clean = w.plainHash()
		c, ok := w.search.pick(w, w.options(p))
		if !ok {
			return nil
		}
		if w.search.tracing() && c.process != p {
			w.search.note("%s %v", c.process.name, c)
		}
		switch c.act {
		case proceed:
			c.process.state = ready // who waited has what he waited for
			w.last = c.process.index
			return c.process
		case drain:
			c.process.drainOne()
		case crash:
			p.die()
			return p // to unwind, and then others go on
		case expire:
			c.process.wakeUp(true)
		}
	}
}

// options are what may happen next, in the order in which they are tried.
func (w *World) options(p *Process) []choice {
	all, crashes := w.search.room[:0], false
	if p != nil && p.state == ready {
		all = append(all, choice{proceed, p})
	}
	if p != nil && p.state == ready && p.mortal && w.crashes < w.search.Crashes && (p.changed || len(p.stores) > 0) {
		crashes = true
		p.changed = false
	}
	all = w.others(all, p)
	if w.search.bounded() && w.delays >= w.search.Delays {
		all = all[:min(len(all), 1)]
	}
	if crashes {
		all = append(all, choice{crash, p})
	}
	if len(all) == 0 && w.mayExpire() {
		for _, q := range w.sleepers {
			if q.state == asleep && q.bound == Bounded {
				all = append(all, choice{expire, q})
			}
		}
	}
	w.search.room = all
	return all
}

// others appends what may happen beside that p runs on: the next process in turn comes first.
func (w *World) others(all []choice, p *Process) []choice {
	n := len(w.processes)
	for i := range n {
		if q := w.processes[(w.last+1+i)%n]; q.canRun() && (q != p || q.state != ready) {
			all = append(all, choice{proceed, q})
		}
	}
	for _, q := range w.sleepers {
		if q.state == asleep && q.bound == Nap {
			all = append(all, choice{expire, q})
		}
	}
	for _, q := range w.processes {
		if len(q.stores) > 0 {
			all = append(all, choice{drain, q})
		}
	}
	return all
}

func (w *World) mayExpire() bool {
	return w.search.Timeouts == WhenIdle || w.search.Timeouts == AfterCrash && w.crashes > 0
}

// stuck is the finding of a world in which nobody can go on; nil if all have ended.
func (w *World) stuck() *Finding {
	text := ""
	for _, p := range w.processes {
		switch p.state {
		case asleep:
			text += fmt.Sprintf("%s sleeps on %s and nobody will wake it\n", p.name, w.whereAll(p.words))
		case waiting:
			text += fmt.Sprintf("%s waits for what never happens\n", p.name)
		}
	}
	if text == "" {
		return nil
	}
	return &Finding{LostWakeup, text}
}

// yield is where others may run instead of the running process, and where that may crash.
func (w *World) yield() {
	p := w.running
	if w.steps++; w.steps > maxSteps {
		w.find(Livelock, fmt.Sprintf("no end after %d accesses", maxSteps))
	}
	w.pass(p, w.choose(p))
}

// maxSteps is how many points an execution may have: many more than any that ends.
const maxSteps = 20_000

// pass lets q run in place of p, and returns when p is to go on. It does not return if p is to end.
func (w *World) pass(p, q *Process) {
	if w.aborting {
		p.dying = true
	}
	if q != p && !p.dying {
		w.hand(q)
		<-p.turn
	}
	if p.dying {
		runtime.Goexit()
	}
}

// hand lets q run, or the test itself if there is nobody.
func (w *World) hand(q *Process) {
	w.running = q
	if q == nil {
		w.over <- struct{}{}
		return
	}
	q.turn <- struct{}{}
}

// live is the goroutine of a process.
func (p *Process) live() {
	w := p.world
	defer func() {
		if v := recover(); v != nil {
			w.find(Panicked, fmt.Sprintf("%s: %v\n%s", p.name, v, debug.Stack()))
		}
		p.unwound = true
		if w.aborting {
			w.over <- struct{}{}
			return
		}
		if p.state != crashed {
			p.drainAll()
			p.state = ended
		}
		w.hand(w.choose(nil))
	}()
	<-p.turn
	if !p.dying {
		p.body()
	}
}
