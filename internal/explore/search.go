package explore

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// A Scenario is what is explored.
type Scenario struct {
	Name string

	// New makes the shared memory and the processes of one execution. Nothing may differ from one call to the next, and nothing may
	// depend on addresses, time or chance.
	New func(w *World)

	// Delays bounds how often an execution departs from the simplest one, in which a process runs until it sleeps, waits or ends, then the
	// next one does, and a store that is no fence is seen at the next fence; 0: there is no bound, and all executions are explored. Crashes
	// do not count.
	Delays int

	// Crashes is how many processes crash in one execution at most.
	Crashes int

	// Timeouts says when a bounded sleep ends by itself.
	Timeouts Timeouts

	// Walks is how many random executions follow, without a bound of delays.
	Walks int
}

// Timeouts say when a sleep that has a bound ends although nobody has woken the sleeper.
type Timeouts uint8

const (
	// AfterCrash: when nothing else can happen, and a process has crashed. Otherwise whoever depends on its timeout has lost a
	// wake-up.
	AfterCrash Timeouts = iota
	// WhenIdle: when nothing else can happen.
	WhenIdle
	// Never: whatever has happened.
	Never
)

var (
	seedFlag     = flag.Uint64("explore.seed", 0, "do one random walk, the one with this seed, and print it")
	scheduleFlag = flag.String("explore.schedule", "", "execute this schedule, and print it")
	walksFlag    = flag.Int("explore.walks", -1, "do so many random walks with each scenario, instead of its own number")
)

// maxExecutions bounds a search that does not end: such a scenario needs a bound of its own.
const maxExecutions = 3_000_000

// A search goes through the executions of one scenario.
type search struct {
	Scenario
	path    []node
	depth   int
	visited map[uint64]int8 // states, and how many delays were left there at most
	random  *rand.Rand      // nil: choices are not made at random
	free    bool            // a walk, or one again: there is no bound of delays
	eager   int             // a random walk goes on with who runs once in so many times less often
	room    []choice
	trace   *strings.Builder

	pruned  bool // this execution has come to a state that was there before
	crashed bool
	summary
}

type summary struct{ executions, withCrash, longest int }

// A node is a point of the execution at which there was a choice.
type node struct{ options, at int }

// Run explores a scenario and fails t with the first finding, and the schedule that leads there.
func Run(t testing.TB, s Scenario) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // a hand-over between goroutines costs least then
	x := &search{Scenario: s, visited: map[uint64]int8{}}
	switch {
	case *scheduleFlag != "":
		x.replay(t, *scheduleFlag)
		return
	case *seedFlag != 0:
		x.walkFrom(t, *seedFlag)
		return
	}
	if !x.exhaust(t) {
		return
	}
	t.Logf("explore: %s", x.report())
	if n := x.walks(); n > 0 {
		x.walk(t, n)
	}
}

func (x *search) walks() int {
	if *walksFlag >= 0 {
		return *walksFlag
	}
	return x.Walks
}

func (x *search) report() string {
	how := "exhaustive"
	if x.Delays > 0 {
		how = fmt.Sprintf("all with up to %d delays", x.Delays)
	}
	return fmt.Sprintf("%s: %d states, %d executions of up to %d points, %d with a crash: %s",
		x.Name, len(x.visited), x.executions, x.longest, x.withCrash, how)
}

func (x *search) bounded() bool { return x.Delays > 0 && !x.free }

func (x *search) tracing() bool { return x.trace != nil }

// exhaust goes through all schedules, depth first.
func (x *search) exhaust(t testing.TB) bool {
	t.Helper()
	for {
		if w := x.execute(); w.finding != nil {
			x.explain(t, w.finding, x.schedule())
			return false
		}
		if x.executions == 1 && x.longest == 0 {
			t.Fatalf("explore: %s: no shared access was seen: this is no build for exploration, see internal/explore", x.Name)
		}
		for len(x.path) > 0 && x.path[len(x.path)-1].at+1 == x.path[len(x.path)-1].options {
			x.path = x.path[:len(x.path)-1]
		}
		if len(x.path) == 0 {
			return true
		}
		x.path[len(x.path)-1].at++
		if x.executions > maxExecutions {
			t.Fatalf("explore: %s: no end: give it a bound", x.report())
		}
	}
}

// execute does one execution, along the path as far as it goes.
func (x *search) execute() *World {
	x.depth, x.pruned, x.crashed = 0, false, false
	w := &World{search: x}
	x.New(w)
	w.run()
	x.executions++
	x.longest = max(x.longest, w.steps)
	if x.crashed {
		x.withCrash++
	}
	return w
}

// pick takes one of options. It reports false if the execution ends here.
func (x *search) pick(w *World, options []choice) (c choice, ok bool) {
	switch len(options) {
	case 0:
		if f := w.stuck(); f != nil {
			w.find(f.Kind, f.Text)
		}
		return c, false
	case 1:
		return options[0], true
	}
	at := 0
	switch {
	case x.depth < len(x.path):
		n := x.path[x.depth]
		if n.options >= 0 && n.options != len(options) || n.at >= len(options) {
			panic(fmt.Sprintf("explore: %s: %d choices where there were %d: the scenario is not the same each time", x.Name, len(options), n.options))
		}
		at = n.at
	case x.random != nil:
		at = x.guess(options)
		x.path = append(x.path, node{len(options), at})
	case x.trace != nil: // the schedule ends here
		return options[0], true
	case x.seen(w):
		x.pruned, w.aborting = true, true
		return c, false
	default:
		x.path = append(x.path, node{len(options), 0})
	}
	x.depth++
	if at > 0 && options[at].act != crash {
		w.delays++
	}
	return options[at], true
}

// seen reports whether all that can follow was or will be explored from elsewhere.
func (x *search) seen(w *World) bool {
	left := int8(0)
	if x.bounded() {
		left = int8(x.Delays - w.delays)
	}
	key := w.state()
	if was, ok := x.visited[key]; ok && was >= left {
		return true
	}
	x.visited[key] = left
	return false
}

// guess takes an option at random. Some walks interrupt whoever runs often, others seldom; a crash is always rare.
func (x *search) guess(options []choice) int {
	if x.random.IntN(x.eager) != 0 && options[0].act == proceed {
		return 0
	}
	at := x.random.IntN(len(options))
	if options[at].act == crash && x.random.IntN(8) != 0 {
		return 0
	}
	return at
}

// walk does n random walks.
func (x *search) walk(t testing.TB, n int) {
	t.Helper()
	x.summary = summary{}
	first := rand.Uint64() >> 1
	for i := range n {
		if !x.stroll(t, first+uint64(i)) {
			return
		}
	}
	t.Logf("explore: %s: %d random walks of up to %d points, %d with a crash, from seed %d", x.Name, n, x.longest, x.withCrash, first)
}

// walkFrom does the random walk with that seed and prints it.
func (x *search) walkFrom(t testing.TB, seed uint64) {
	t.Helper()
	if x.stroll(t, seed) { // or it was printed as what leads to a finding
		_, trace := x.again()
		t.Log(trace)
	}
}

// stroll is one random walk.
func (x *search) stroll(t testing.TB, seed uint64) bool {
	t.Helper()
	x.random, x.free = rand.New(rand.NewPCG(seed, 0)), true
	x.eager = 1 << (1 + x.random.IntN(5))
	x.path = x.path[:0]
	w := x.execute()
	if w.finding != nil {
		x.explain(t, w.finding, x.schedule())
		t.Logf("the same: -test.run=%s -explore.seed=%d", t.Name(), seed)
	}
	return w.finding == nil
}

// freely begins the schedule of a walk.
const freely = "walk"

// schedule is the choices of the last execution: runs of the same number as "number*times".
func (x *search) schedule() string {
	var s []string
	if x.free {
		s = append(s, freely)
	}
	for i := 0; i < len(x.path); {
		n := 1
		for i+n < len(x.path) && x.path[i+n].at == x.path[i].at {
			n++
		}
		s = append(s, fmt.Sprintf("%d*%d", x.path[i].at, n))
		i += n
	}
	return strings.Join(s, ",")
}

// explain fails t with a finding and with what has led to it.
func (x *search) explain(t testing.TB, f *Finding, schedule string) {
	t.Helper()
	again, trace := x.again()
	if again.finding == nil || again.finding.Kind != f.Kind {
		trace += "(the schedule does not lead there a second time: the scenario is not the same each time)\n"
	}
	t.Errorf("explore: %s: FOUND %s: %s\n%safter %d executions; the same: -test.run=%s -explore.schedule=%s",
		x.Name, f.Kind, f.Text, trace, x.executions, t.Name(), schedule)
}

// again repeats the last execution and returns what happens in it.
func (x *search) again() (w *World, trace string) {
	random := x.random
	x.random, x.trace = nil, &strings.Builder{}
	w, trace = x.execute(), x.trace.String()
	x.random, x.trace = random, nil
	return w, trace
}

// replay executes one schedule and prints it.
func (x *search) replay(t testing.TB, schedule string) {
	t.Helper()
	for part := range strings.SplitSeq(schedule, ",") {
		if part == freely {
			x.free = true
			continue
		}
		at, times, _ := strings.Cut(part, "*")
		a, err1 := strconv.Atoi(at)
		n, err2 := strconv.Atoi(times)
		if err1 != nil || err2 != nil {
			t.Fatalf("explore: schedule %q: %q is not of the form choice*times", schedule, part)
		}
		for range n {
			x.path = append(x.path, node{-1, a})
		}
	}
	w, trace := x.again()
	t.Log(trace)
	if w.finding != nil {
		t.Errorf("explore: %s: FOUND %s: %s", x.Name, w.finding.Kind, w.finding.Text)
	}
}

// note adds a line to the trace.
func (x *search) note(format string, args ...any) {
	fmt.Fprintf(x.trace, "\t"+format+"\n", args...)
}

// noteAt adds a line that says where in the source it happens.
func (x *search) noteAt(format string, args ...any) {
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		f, more := frames.Next()
		ours := strings.Contains(f.Function, "/internal/explore") || strings.Contains(f.Function, "/internal/sys.")
		if !more || !ours || strings.HasSuffix(f.File, "_test.go") {
			file := f.File[strings.LastIndexByte(f.File, '/')+1:]
			x.note("%-24s %s", fmt.Sprintf("%s:%d", file, f.Line), fmt.Sprintf(format, args...))
			return
		}
	}
}
