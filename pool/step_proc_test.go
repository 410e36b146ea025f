//go:build linux && amd64

package pool

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/singlestep"
)

// stepEnv tells workers in which folder those who are stepped meet their test.
const stepEnv = "SHMKIT_TEST_STEP_DIR"

// What a task is told to do with the walk of its worker: the remainder of its number by commands.
const (
	nothing    = iota
	walkBegins // in the task, if this worker is the first to come
	walkEnds   // if it has begun in this worker
	commands
)

// isStepped says that this worker's serving goroutine is. That goroutine alone has it.
var isStepped bool

// halt stops the task's thread where the walk begins, and where it ends.
func halt(command int) {
	dir := os.Getenv(stepEnv)
	switch {
	case command == walkEnds && isStepped:
		singlestep.Stop()
	case command == walkBegins && os.Remove(filepath.Join(dir, "armed")) == nil:
		isStepped = true
		runtime.LockOSThread() // for good
		tell, begin := stepPipe(dir, "tell"), stepPipe(dir, "begin")
		must(fmt.Fprintln(tell, os.Getpid()))
		must(0, singlestep.Prepare(tell, begin))
	}
}

// stepPipe opens a named pipe for calls that block their thread.
func stepPipe(dir, name string) *os.File {
	return os.NewFile(uintptr(must(syscall.Open(filepath.Join(dir, name), syscall.O_RDWR|syscall.O_CLOEXEC, 0))), name)
}

var (
	halts = Func("halts", func(_ context.Context, x int) (int, error) {
		halt(x % commands)
		return x * x, nil
	})
	haltsWithBytes = Func("halts with bytes", func(_ context.Context, b []byte) ([]byte, error) {
		halt(int(b[0]) % commands)
		return b, nil
	})
)

// A load is what a stepped task that deals with blocks gets, and returns.
type load struct {
	How string
	B   *Block[uint64]
	F   *Frozen[uint64]
}

var haltsWithBlocks = Func("halts with blocks", func(ctx context.Context, in load) (out load, err error) {
	if in.How != "warm" {
		halt(walkBegins)
	}
	switch in.How {
	case "free":
		in.B.Release()
	case "return":
		out.B = in.B
	case "make":
		out.B = must(NewBlock[uint64](ctx, nil, stepWords))
	case "make and free", "warm":
		must(NewBlock[uint64](ctx, nil, stepWords)).Release()
		out.B = in.B
	case "freeze":
		out.F = in.B.Freeze()
	}
	return out, nil
})

const stepWords = 200 // of a block

// A scene is one walk of a worker of a pool.
type scene struct {
	t     *testing.T
	p     *Pool
	w     *singlestep.Walk
	dir   string
	tell  *os.File // where a worker says that it has arrived
	begin *os.File // where it is told to go on
	pid   int      // of the worker
	tasks []*sceneTask

	occupied func() // ends the task that occupies another worker
	ran      bool   // a task ran when the worker was killed
}

var lastNumber int

// number returns one with that command and a result that no other has: what is stored shows.
func number(command int) int {
	lastNumber++
	return lastNumber*commands + command
}

// A sceneTask is a task that ends during a walk, or after it.
type sceneTask struct {
	id      func() taskID
	again   bool // it has retries
	end     chan error
	atDeath state // of its slot when the worker was killed; free if the parent has taken its result
}

// A variant is what happens in a scene.
type variant struct {
	workers int
	cpus    int // as far as the pool knows; default: 1. With 2, a worker spins before it sleeps
	warm    func(s *scene)
	begin   func(s *scene) // submits what the walk begins in
	queue   func(s *scene) // once the worker has arrived
	wake    func(s *scene) // when the worker sleeps: once
	alone   func(s *scene) // at the end of the whole walk, while the parent does nothing
	after   func(s *scene)
}

// task notes a task that was submitted, waits for it, and checks its result.
func task[Out any](s *scene, f *Future[Out], err error) func(check func(Out) bool) *sceneTask {
	require.NoError(s.t, err)
	st := &sceneTask{id: f.id, end: make(chan error, 1)}
	s.tasks = append(s.tasks, st)
	return func(check func(Out) bool) *sceneTask {
		go func() {
			out, err := f.Wait(context.Background())
			if err == nil {
				assert.True(s.t, check(out), "%v", out)
			}
			st.end <- err
		}()
		return st
	}
}

func (s *scene) call(command int) *sceneTask {
	x := number(command)
	f, err := halts.Go(s.t.Context(), s.p, x)
	return task(s, f, err)(func(y int) bool { return y == x*x })
}

// callAgain is call for a task with a retry.
func (s *scene) callAgain(command int) {
	x := number(command)
	f, err := halts.With(Retries(1)).Go(s.t.Context(), s.p, x)
	task(s, f, err)(func(y int) bool { return y == x*x }).again = true
}

func (s *scene) callWithBytes(command int) {
	b := bytes.Repeat([]byte{byte(number(nothing))}, 3000)
	b[0] = byte(command)
	f, err := haltsWithBytes.Go(s.t.Context(), s.p, b)
	task(s, f, err)(func(got []byte) bool { return bytes.Equal(b, got) })
}

func (s *scene) callWithBlocks(how string) {
	f, err := haltsWithBlocks.Go(s.t.Context(), s.p, load{How: how, B: newWords(s.t, s.p, stepWords)})
	task(s, f, err)(func(out load) bool {
		if out.B != nil {
			out.B.Release()
		}
		if out.F != nil {
			out.F.Release()
		}
		return true
	})
}

// dealing is the variant in which a task deals with blocks in this way.
func dealing(how string) variant {
	return variant{
		warm:  func(s *scene) { s.callWithBlocks("warm"); s.settle(false) }, // what is stepped needs no new span
		begin: func(s *scene) { s.callWithBlocks(how) },
	}
}

// stealing is the variant in which a worker finds its next task in another's batch.
func stealing(cpus int) variant {
	return variant{
		workers: 2,
		cpus:    cpus,
		warm:    (*scene).occupyOne,
		begin:   func(s *scene) { s.call(walkBegins) },
		queue:   (*scene).hideInBatch,
		after:   (*scene).clearBatches,
	}
}

var variants = map[string]variant{
	"int to int and the next": {
		begin: func(s *scene) { s.call(walkBegins) },
		queue: func(s *scene) { s.call(nothing); s.call(walkEnds) },
	},
	"int to int and to sleep": {
		begin: func(s *scene) { s.call(walkBegins) },
	},
	"int to int with retries": {
		begin: func(s *scene) { s.callAgain(walkBegins) },
		queue: func(s *scene) { s.callAgain(walkEnds) },
	},
	"asleep and woken with work": {
		begin: func(s *scene) { s.call(walkBegins) },
		wake:  func(s *scene) { s.call(walkEnds) },
	},
	"woken and waking the next": {
		workers: 2,
		begin:   func(s *scene) { s.call(walkBegins) },
		wake:    (*scene).wakeForTwo,
		alone: func(s *scene) {
			eventually(s.t, "the next was woken, and takes what is left", func() bool { return slotsThatAre(s.p, queued) == 0 })
		},
	},
	"steal before it sleeps": stealing(1),
	"steal while it spins":   stealing(2), // soon enough: thousands of turns without anything to find would have to be stepped through
	"bytes in the arena": {
		warm:  func(s *scene) { s.callWithBytes(walkEnds); s.callWithBytes(nothing); s.settle(false) },
		begin: func(s *scene) { s.callWithBytes(walkBegins) },
		queue: func(s *scene) { s.callWithBytes(walkEnds) },
	},
	"free a block":            dealing("free"),
	"return a block":          dealing("return"),
	"make a block":            dealing("make"),
	"make and free a block":   dealing("make and free"),
	"freeze and give a block": dealing("freeze"),
}

// A worker that is killed at any instruction between two tasks' functions, or in what a function does with blocks, ends one task at most: the
// one that its slot's word says it runs. All others have their results, nothing in the arena is lost, and the pool goes on.
func TestStepWorker(t *testing.T) {
	for name, v := range singlestep.Part(variants) {
		t.Run(name, func(t *testing.T) {
			p, dir := startStepped(t, max(v.workers, 1), max(v.cpus, 1))
			singlestep.Prove(t, 1, func(t *testing.T, w *singlestep.Walk) {
				s := newScene(t, p, w, dir)
				if v.warm != nil {
					v.warm(s)
				}
				s.arm()
				v.begin(s)
				s.arrive()
				if v.queue != nil {
					v.queue(s)
				}
				s.walk(v)
				if v.after != nil {
					v.after(s)
				}
				s.settle(true)
			})
		})
	}
}

// So does one that is killed between two items of a Map that travel together: that item fails which its progress says, the others have
// their results.
func TestStepChunk(t *testing.T) {
	const last = 3
	p, dir := startStepped(t, 1, 1)
	singlestep.Prove(t, 1, func(t *testing.T, w *singlestep.Walk) {
		s := newScene(t, p, w, dir)
		s.arm()
		args := []int{number(walkBegins), number(nothing), number(nothing), number(walkEnds), number(nothing)}
		m := sendChunk(t, p, halts, args)
		watching(p, func() {
			s.arrive()
			s.walk(variant{})
		})
		failed := map[int]error{}
		for c := m.next(); c != nil; c = m.next() { // only now: nobody asks for a part of the chunk while the worker is stepped
			outs, err := m.results(c)
			for k := range c.in {
				if k < len(outs) {
					assert.Equal(t, args[c.first+k]*args[c.first+k], outs[k])
				} else {
					failed[c.first+k] = err
				}
			}
		}
		require.EqualValues(t, len(args), m.taken.Load())
		m.stop()
		if !s.ran {
			require.Empty(t, failed)
		} else {
			require.Len(t, failed, 1)
		}
		for i, err := range failed {
			require.ErrorIs(t, err, ErrWorkerDied)
			require.True(t, i <= last && (!w.Returned || i == last), i)
		}
		s.settle(true)
	})
}

// sendChunk begins a Map of args, all of which travel together. There is no feeder.
func sendChunk[In, Out any](t *testing.T, p *Pool, f *Function[In, Out], args []In) *mapping[In, Out] {
	m := f.newMapping(t.Context(), p, true)
	m.fed, m.fedTo = true, len(args)
	m.size.Store(int64(len(args)))
	m.chunks = []*chunk[In, Out]{{in: args, part: part{fresh: len(args)}}}
	m.send()
	require.EqualValues(t, 1, m.inFlight.Load(), "it was sent")
	return m
}

// watching does what do says while the reaper watches for results, as it does while somebody waits for one.
func watching(p *Pool, do func()) {
	p.mu.Lock()
	p.watch()
	p.mu.Unlock()
	do()
	p.mu.Lock()
	p.watched--
	p.mu.Unlock()
}

// startStepped starts a pool whose workers can be stepped, and which takes the machine for one with so many CPUs.
func startStepped(t *testing.T, workers, cpus int) (p *Pool, dir string) {
	dir = t.TempDir()
	for _, name := range []string{"tell", "begin"} {
		require.NoError(t, syscall.Mkfifo(filepath.Join(dir, name), 0o600))
	}
	env := append(singlestep.Environment(), stepEnv+"="+dir)
	o, err := Options{Workers: workers, GOMAXPROCS: 1, Queue: 16, Memory: 1 << 20, Env: env}.withDefaults()
	require.NoError(t, err)
	o.cpus = cpus
	home, err := newEstate(o)
	require.NoError(t, err)
	p = newPool(o, home)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	require.NoError(t, p.start())
	return p, dir
}

func newScene(t *testing.T, p *Pool, w *singlestep.Walk, dir string) *scene {
	s := &scene{t: t, p: p, w: w, dir: dir, tell: stepPipe(dir, "tell"), begin: stepPipe(dir, "begin")}
	t.Cleanup(func() {
		s.tell.Close()
		s.begin.Close()
	})
	requireStaff(t, p, max(p.opts.Workers, 1))
	return s
}

// arm lets the next task that is told so begin a walk. Slots without a task hold what no task has left there, so that each store of a
// result makes a change.
func (s *scene) arm() {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for i := range s.p.entries {
		if slot := &s.p.mem.slots[i]; !s.p.entries[i].live {
			slot.resKind, slot.resLen, slot.res = 77, 77, [inlineBytes]byte{77}
		}
	}
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "armed"), nil, 0o600))
}

// arrive waits until a worker is about to begin.
func (s *scene) arrive() {
	_, err := fmt.Fscanln(s.tell, &s.pid)
	require.NoError(s.t, err)
}

// walk steps through what the worker does. The parent does nothing meanwhile: all that happens to the memory is the worker's doing. It
// sleeps on its bell, as somebody waits for a result.
func (s *scene) walk(v variant) {
	var tid int
	_, err := fmt.Fscanln(s.tell, &tid)
	require.NoError(s.t, err)
	eventually(s.t, "the parent sleeps", func() bool { return s.p.mem.ctl.asleep.Load() == 1 })
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	woken := false
	require.NoError(s.t, s.w.Through(singlestep.Subject{
		Pid: s.pid, Tid: tid, Shared: s.shared(),
		Begin: func() error { _, err := s.begin.Write([]byte{1}); return err },
		Wake: func() bool {
			if v.wake == nil || woken {
				return false
			}
			woken = true
			s.p.mu.Unlock()
			v.wake(s)
			s.p.mu.Lock()
			return true
		},
	}))
	if s.w.Whole() && v.alone != nil {
		v.alone(s)
	}
	s.ran = runningSlot(s.p) >= 0
	for _, task := range s.tasks {
		w := word(s.p.mem.slots[task.id().slot()].word.Load())
		if w.gen() == task.id().gen() {
			task.atDeath = w.state()
		}
	}
}

// shared is all that the workers of the pool share, but for blocks other than chunks, and for the words of blocks that are far behind in
// their span: nobody allocates there.
func (s *scene) shared() [][]byte {
	const unit, page, ends = 64 << 10, 4096, 256
	m, size := s.p.mem, s.p.mem.geo.memory
	all := [][]byte{m.bytes[m.off.control:m.off.table], m.bytes[m.off.completions:m.off.boot]}
	records := m.arena()[page:][:size/unit/4*page]
	all = append(all, m.arena()[:page])
	for ; len(records) > 0; records = records[page:] {
		all = append(all, records[:ends])
	}
	for i := range s.p.entries {
		if b := s.p.entries[i].block; b.Cap > 0 {
			all = append(all, s.p.store.Bytes(b))
		}
	}
	return all
}

// settle waits for all tasks and expects that each has ended as its slot said when the worker died, if that did, and that
// nothing is left of it.
func (s *scene) settle(died bool) {
	for i, task := range s.tasks {
		err := receive(s.t, task.end)
		if died && task.atDeath == running && !task.again {
			require.ErrorIs(s.t, err, ErrWorkerDied, "task %d", i)
		} else {
			require.NoError(s.t, err, "task %d was %v", i, task.atDeath)
		}
	}
	s.tasks = nil
	eventually(s.t, "what the worker has left is put in order", func() bool {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		return s.p.home.blocks == 0 && s.p.store.Stats().Count == 0 && s.p.store.Check() == nil
	})
	eventually(s.t, "the books are right", func() bool {
		st := s.p.Stats()
		return st.Outstanding == 0 && st.Accepted == st.Succeeded+st.Failed+st.Cancelled
	})
	require.Zero(s.t, s.p.Stats().Rebuilds)
	if died {
		same(s.t, s.p, echoInt, 1, 2, 3)
		requireStaff(s.t, s.p, s.p.opts.Workers)
	}
}

// index is the place of the worker that is stepped.
func (s *scene) index() int {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for _, m := range s.p.members {
		if m.pid() == s.pid {
			return m.index
		}
	}
	require.FailNow(s.t, "the worker has gone")
	return 0
}

// wakeForTwo has two tasks wait, and wakes the stepped worker alone: the other is left to it.
func (s *scene) wakeForTwo() {
	p, i := s.p, s.index()
	sleepers := p.crowd.idle.sleepers[:]
	unset(sleepers, i)
	other := unset(sleepers, 1-i) // nobody is woken
	s.call(walkEnds)
	s.call(nothing)
	if other {
		set(sleepers, 1-i)
	}
	p.crowd.wake(i)
}

// occupyOne has one of two workers run a task that does not end by itself.
func (s *scene) occupyOne() {
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	_, err := block.Go(ctx, s.p, 0)
	require.NoError(s.t, err)
	eventually(s.t, "it runs", func() bool { return runningSlot(s.p) >= 0 })
	s.occupied = cancel
}

// hideInBatch has a task wait in the batch of the worker that is occupied, as if that had taken its hint.
func (s *scene) hideInBatch() {
	f := s.call(walkEnds)
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	i, ok := s.p.mem.ready.TryPop()
	require.True(s.t, ok)
	require.EqualValues(s.t, f.id().slot(), i)
	for k := range s.p.mem.workers[:2] {
		if pid := s.p.members[k].pid(); pid != s.pid {
			s.p.mem.workers[k].batch[1].Store(uint64(i) + 1)
		}
	}
}

func (s *scene) clearBatches() {
	s.occupied()
	for k := range s.p.mem.workers[:2] {
		s.p.mem.workers[k].batch[1].Store(0)
	}
}
