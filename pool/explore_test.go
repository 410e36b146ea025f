//go:build explore

package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
	"github.com/shmkit/shmkit/shm"
)

// What these scenarios are for, and how they are run, says package explore. The parent's code and the workers' run as they are, over
// bytes of the heap. What a parent does in goroutines of their own is a process here: taking results, seeing a worker die, cancelling.
// In place of processes and their ends there are those of the exploration; what would happen by a timer, a scenario calls itself.

// A stagedPool is a pool whose workers are processes of an exploration.
type stagedPool struct {
	w         *explore.World
	p         *Pool
	timer     *time.Timer
	members   []*explore.Process
	actors    []*explore.Process // who must have ended before the reaper may
	spins     int                // workers that may spin at a time
	futures   []*Future[int]
	runs      map[int]int // how often the task with that argument ran
	aside     bool        // somebody is still to do something to the tasks
	submitted func(i int) // what the submitter does after that task
}

// staged is the stagedPool of the execution that goes on: the registered function finds it there.
var staged *stagedPool

var exploreDouble = Func("explore.double", func(ctx context.Context, n int) (int, error) {
	staged.runs[n]++
	if staged.runs[n] > 1 {
		explore.Fail("double claim", "task %d runs a second time", n)
	}
	explore.Step() // the worker may crash in it
	if n < 0 {
		return 0, errors.New("negative")
	}
	return 2 * n, nil
})

// A plot is the memory of staged pools, which is used again by each execution.
type plot struct {
	bytes []byte
	geo   geometry
	table []byte
}

func newPlot(slots, workers int) *plot {
	table := encodeTable()
	g := geometry{slots: slots, workers: workers, table: len(table), memory: memoryUnit, page: pageBytes}
	return &plot{layout.SliceBytes(make([][layout.Line / 8]uint64, g.offsets().total/layout.Line+1))[:g.offsets().total], g, table}
}

// estate makes new memory for a pool.
func (m *plot) estate() *estate {
	clear(m.bytes[:m.geo.offsets().arena+2*pageBytes]) // nobody uses the arena's blocks
	mem, err := view(m.bytes, m.geo)
	need(err)
	copy(mem.table(), m.table)
	a, err := shm.NewArena(mem.arena(), m.geo.memory, m.geo.page, parentHolder, nil)
	need(err)
	need(layout.Init(m.bytes, layout.KindPool, m.geo.params()...))
	return &estate{mem: mem, store: storeOf(mem, a), crowd: mem.crowd(), bell: mem.bell(), constants: slices.Concat(mem.constants()...)}
}

// storeOf is makeStore and openStore for memory that needs no reserving.
func storeOf(m *memory, a *shm.Arena) *store {
	return &store{Arena: a, mem: m.arena(), base: m.off.arena}
}

func need(err error) {
	if err != nil {
		panic(err)
	}
}

// newStagedPool makes a pool with places for as many workers as the plot has.
func (m *plot) newStagedPool(w *explore.World, spins int) *stagedPool {
	o := Options{Workers: m.geo.workers, MaxWorkers: m.geo.workers, Queue: m.geo.slots, Name: "explored"}
	o.cpus = 1 // the parent does not spin
	s := &stagedPool{w: w, p: newPool(o, m.estate()), timer: time.NewTimer(time.Hour), spins: spins, runs: map[int]int{}}
	s.timer.Stop()
	staged = s
	s.p.observing = true // nobody looks after the health of workers
	s.p.soiled.Store(true)
	m.share(w)
	for i := range m.geo.workers {
		s.p.members = append(s.p.members, s.p.newMember(i))
	}
	return s
}

// share shares what processes can use, but for the places in a batch that are for more tasks than there are slots: see unused.
func (m *plot) share(w *explore.World) {
	off := m.geo.offsets()
	part := func(name string, from, n int64) { w.Share(name, m.bytes[from:][:n]) }
	part("control", off.control, 2*layout.Line)
	for k, set := range []string{"sleepers", "spinners", "nappers"} { // in the first word of each
		part(set, off.control+2*layout.Line+int64(k)*maxWorkers/8, 8)
	}
	part("ready", off.ready, layout.Line+8*int64(m.geo.slots))
	for i := range int64(m.geo.workers) {
		at := off.workers + i*workerBytes
		part(fmt.Sprint("worker", i), at, 3*layout.Line)
		part(fmt.Sprint("batch", i), at+3*layout.Line, 8*int64(m.geo.slots))
		part(fmt.Sprint("current", i), at+4*layout.Line, 8)
		part(fmt.Sprint("completions", i), off.completions+i*ring.HintsSize(m.geo.slots), layout.Line+8*int64(m.geo.slots))
	}
	w.SharePlain("slots", m.bytes[off.slots:][:slotBytes*m.geo.slots])
}

// unused checks that nobody has used what was not shared.
func (m *memory) unused() error {
	for i := range m.workers {
		for k := len(m.slots); k < maxBatch; k++ {
			if v := m.workers[i].batch[k].Load(); v != 0 {
				return fmt.Errorf("place %d of a batch, in a pool of %d slots, is %d", k, len(m.slots), v)
			}
		}
	}
	return nil
}

// hire does to a place what launch does, but for a process.
func (s *stagedPool) hire(i int) *worker {
	p, m := s.p, s.p.members[i]
	m.vacant, m.proc = false, new(process.Process)
	p.count()
	p.prepare(m)
	completions := p.mem.completions(i)
	completions.Reset(0)
	m.done = completions.Consumer(0)
	w := &worker{index: i, incarnation: m.incarnation, mem: p.mem, area: &p.mem.workers[i], crowd: p.mem.crowd(), bell: p.mem.bell(),
		idling: newIdling(s.spins + 1), batch: newBatch(), diary: diary{desk: &p.mem.told.Desks[i]}}
	w.completions = completions.Producer(0)
	var err error
	w.functions, err = bind(p.mem.table())
	need(err)
	a, err := shm.OpenArena(p.mem.arena(), workerHolder(m.incarnation), nil)
	need(err)
	w.store = storeOf(p.mem, a)
	w.out.worker, w.contexts = w, newContexts(p.mem.bytes, w.area)
	w.contexts.worker, w.hold.w = w, w
	w.ending.once.Do(func() {}) // there is no OnExit
	return w
}

// worker adds a worker, and who sees its end.
func (s *stagedPool) worker(i int, mortal bool) {
	w, m := s.hire(i), s.p.members[i]
	add := s.w.Go
	if mortal {
		add = s.w.GoMortal
	}
	body := add(fmt.Sprint("worker", i), func() { serve(w) })
	s.members, s.actors = append(s.members, body), append(s.actors, body)
	if !mortal {
		return
	}
	s.watch(fmt.Sprint("watcher", i), body, m)
}

// watch adds who sees the end of a worker.
func (s *stagedPool) watch(name string, body *explore.Process, m *member) {
	s.actors = append(s.actors, s.w.Go(name, func() {
		explore.Until(body.Gone)
		if incarnation, mine := s.p.exited(m, m.proc); mine {
			s.p.reclaim(incarnation)
		}
	}))
}

// successor adds the next worker for place i, should its first have crashed.
func (s *stagedPool) successor(i int) {
	p := s.p
	s.actors = append(s.actors, s.w.Go("successor", func() {
		explore.Until(func() bool { return p.members[i].vacant || p.phase >= stopping })
		p.mu.Lock()
		if p.phase >= stopping {
			p.mu.Unlock()
			return
		}
		w := s.hire(i)
		p.mu.Unlock()
		serve(w)
	}))
}

func serve(w *worker) {
	w.report(serving)
	for !w.stopped {
		w.runTasks()
	}
}

// submitter adds who submits tasks with the arguments from 1 to n, waits until they have ended, and stops the pool; and the reaper.
func (s *stagedPool) submitter(n int) {
	p := s.p
	p.watch() // so that the reaper does not rest
	s.w.Go("reaper", func() {
		for p.reapOnce(s.timer) {
		}
	})
	s.w.Go("submitter", func() {
		for i := range n {
			explore.Until(func() bool { return len(p.freeSlots) > 0 })
			f, err := exploreDouble.Go(context.Background(), p, i+1)
			if err != nil {
				explore.Fail("not accepted", "%v", err)
			}
			s.futures = append(s.futures, f)
			if s.submitted != nil {
				s.submitted(i)
			}
		}
		explore.Until(func() bool { return p.outstanding == 0 && !s.aside })
		p.stopWorkers()
		explore.Until(func() bool { return !slices.ContainsFunc(s.actors, func(a *explore.Process) bool { return !a.Gone() }) })
		p.stopReaper()
	})
}

// check is what must hold at the end: each task has ended once, and in the books.
func (s *stagedPool) check(tasks int) error {
	p := s.p
	if p.broken != nil {
		return fmt.Errorf("the pool is broken: %w", p.broken)
	}
	died := 0
	for i, f := range s.futures {
		n := i + 1
		if !f.finished() {
			return fmt.Errorf("task %d has not ended", n)
		}
		y, err := f.Wait(context.Background())
		switch {
		case errors.Is(err, ErrWorkerDied):
			died++
		case errors.Is(err, context.Canceled):
		case err != nil || y != 2*n || s.runs[n] != 1:
			return fmt.Errorf("task %d ran %d times and returned %d, %v", n, s.runs[n], y, err)
		}
	}
	crashed := 0
	for _, m := range s.members {
		if m.Crashed() {
			crashed++
		}
	}
	switch st := p.Stats(); {
	case len(s.futures) != tasks || died > crashed:
		return fmt.Errorf("%d tasks of %d, %d ended by %d deaths", len(s.futures), tasks, died, crashed)
	case st.Accepted != uint64(tasks) || st.Succeeded+st.Failed+st.Cancelled != st.Accepted || st.Outstanding != 0:
		return fmt.Errorf("ledger: %v", st)
	case len(p.freeSlots) != len(p.entries):
		return fmt.Errorf("%d of %d slots are free", len(p.freeSlots), len(p.entries))
	}
	return p.mem.unused()
}

// How far the workers' clock goes with each look: by short tasks they take batches, and nap.
const (
	shortTasks = time.Microsecond
	longTasks  = time.Millisecond
)

// Workers take tasks, run them, sleep and are woken; the parent sleeps and is woken.
func TestExplorePool(t *testing.T) {
	for _, tt := range []struct {
		name                                          string
		slots, workers, tasks, spins, crashes, delays int
		tick                                          time.Duration
	}{
		{"one worker, slots used again", 1, 1, 2, 0, 0, 2, longTasks},
		{"two workers", 2, 2, 2, 0, 0, 2, longTasks},
		{"two workers that spin", 2, 2, 2, 1, 0, 1, longTasks},
		{"batches, steals and naps", 3, 2, 3, 0, 0, 2, shortTasks},
		{"a worker crashes", 2, 2, 2, 0, 1, 1, longTasks},
		{"a worker crashes with a batch", 3, 2, 3, 0, 1, 1, shortTasks},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newPlot(tt.slots, tt.workers)
			explore.Run(t, explore.Scenario{Name: "pool, " + tt.name, Delays: tt.delays, Crashes: tt.crashes, Timeouts: explore.Never, Walks: 2000,
				New: func(w *explore.World) {
					w.Tick(tt.tick)
					s := m.newStagedPool(w, tt.spins)
					for i := range tt.workers {
						s.worker(i, tt.crashes > 0 && i == 0)
					}
					s.submitter(tt.tasks)
					w.Check(func() error { return s.check(tt.tasks) })
				}})
		})
	}
}

// The only worker crashes, and another takes its place.
func TestExploreSuccessor(t *testing.T) {
	m := newPlot(2, 1)
	explore.Run(t, explore.Scenario{Name: "pool, successor", Delays: 1, Crashes: 1, Timeouts: explore.Never, Walks: 2000, New: func(w *explore.World) {
		w.Tick(longTasks)
		s := m.newStagedPool(w, 0)
		s.worker(0, true)
		s.successor(0)
		s.submitter(2)
		w.Check(func() error { return s.check(2) })
	}})
}

// A task is cancelled while it waits, runs or ends, and its worker doomed if it runs. No other is hit. It is its submitter who does so, and
// uses the slot again before the grace period ends; or another.
func TestExploreCancel(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		slots, workers, delays int
	}{{"by the submitter", 1, 1, 2}, {"by another", 2, 2, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			m := newPlot(tt.slots, tt.workers)
			name := "pool, cancel and doom, " + tt.name
			explore.Run(t, explore.Scenario{Name: name, Delays: tt.delays, Timeouts: explore.Never, Walks: 2000, New: func(w *explore.World) {
				w.Tick(longTasks)
				s := m.newStagedPool(w, 0)
				for i := range tt.workers {
					s.worker(i, false)
					s.watch(fmt.Sprint("watcher", i), s.members[i], s.p.members[i])
				}
				if tt.workers == 1 {
					s.successor(0)
					s.submitted = func(i int) {
						if i == 0 {
							s.abandon(0)
						} else {
							s.doom(0) // too late: its slot is another's
						}
					}
				} else {
					s.aside = true
					w.Go("canceller", func() {
						explore.Until(func() bool { return len(s.futures) > 0 })
						s.abandon(0)
						s.doom(0)
						s.aside = false
					})
				}
				s.submitter(2)
				w.Check(func() error { return s.check(2) })
			}})
		})
	}
}

// abandon is what happens to a task when its context ends, and doom after the grace period.
func (s *stagedPool) abandon(task int) { s.p.abandon(&s.futures[task].promise, context.Canceled) }

func (s *stagedPool) doom(task int) {
	id := s.futures[task].id()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.doom(id.slot(), id.gen())
}

// The parent sleeps without a bound, or until results come that do not come. One asks for something from outside, and may die at any step; another asks
// after that; somebody of the parent's own wants the reaper meanwhile. All are served, and the pool ends.
func TestExploreRequests(t *testing.T) {
	for _, name := range []string{"dormant", "waiting for results"} {
		t.Run(name, func(t *testing.T) {
			m := newPlot(1, 1)
			explore.Run(t, explore.Scenario{Name: "pool, requests, " + name, Delays: 3, Crashes: 1, Timeouts: explore.Never, Walks: 2000,
				New: func(w *explore.World) {
					s := m.newStagedPool(w, 0)
					if name != "dormant" {
						s.p.watch()
					}
					s.askers()
				}})
		})
	}
}

// askers adds two who ask the parent for something, of whom the first is mortal, somebody who wants the reaper, and the reaper.
func (s *stagedPool) askers() {
	const at = 104 // of the requests, on the board
	p, w, off := s.p, s.w, s.p.mem.off.telemetry+at
	w.Share("requests", p.mem.bytes[off:][:8])
	word, bytes := &p.mem.told.Board.Requests, layout.MustAt[telemetry.Request](p.mem.bytes, off)
	ask := func(r telemetry.Request) { // as Operator.post and Operator.await do
		for !word.Ask(0, r) {
			p.mem.bell().rouse()
			explore.Until(func() bool { return *bytes == 0 || bytes.IsAnswer() })
			word.Fetch(word.Look())
		}
		p.mem.bell().rouse()
		explore.Until(func() bool { return bytes.Answers(r) })
		word.Fetch(word.Look())
	}
	first := w.GoMortal("mortal", func() { ask(telemetry.AboutTask(telemetry.KillTask, 1)) })
	second := w.Go("second", func() { explore.Until(first.Gone); ask(telemetry.AboutTask(telemetry.KillTask, 2)) })
	user := w.Go("user", func() {
		p.mu.Lock()
		p.watch()
		p.watched--
		p.mu.Unlock()
	})
	reaper := w.Go("reaper", func() {
		for p.reapOnce(s.timer) {
		}
	})
	w.Go("end", func() {
		explore.Until(func() bool { return second.Gone() && user.Gone() })
		p.stopReaper()
	})
	w.Check(func() error {
		if !reaper.Gone() || *bytes != 0 {
			return fmt.Errorf("the reaper has ended: %v; a request is left: %#x", reaper.Gone(), uint64(*bytes))
		}
		return nil
	})
}
