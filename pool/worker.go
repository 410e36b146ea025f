package pool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
	"github.com/shmkit/shmkit/shm"
)

// workerEntry is where a process begins that was started as a worker.
var workerEntry *process.Entry

func init() { workerEntry = process.NewEntry("shmkit/pool", workerMain) }

// A bootStatus is what a worker says of its start.
type bootStatus uint32

const (
	starting bootStatus = iota
	serving
	refused // why stands in the boot page
)

// A worker is this process, seen as what it is for its parent.
type worker struct {
	index       int
	incarnation uint32
	mem         *memory
	area        *workerArea
	crowd       crowd
	bell        bell
	completions *ring.HintsProducer
	functions   []binding
	results     results
	out         answer                      // of the task that runs
	ctx         *taskContext                // of the task that runs
	contexts    []taskContext               // of the next ones
	watching    sync.Mutex                  // orders the stores to current
	current     atomic.Pointer[taskContext] // whose end is watched for
	idling      idling
}

// workerMain serves until the parent wants no more. files are the pool's memory and
// the file for last words.
func workerMain(files []*os.File) {
	w, err := attachWorker(files)
	if err != nil {
		fmt.Fprintf(os.Stderr, "shmkit: worker cannot start: %v\n", err)
		os.Exit(1)
	}
	if err := w.prepare(files[1]); err != nil {
		w.refuse(err)
		os.Exit(1)
	}
	w.report(serving)
	served := make(chan struct{})
	go w.serve(served)
	<-served
}

// attachWorker maps the memory and finds this worker's parts of it.
func attachWorker(files []*os.File) (*worker, error) {
	if len(files) != 2 {
		return nil, fmt.Errorf("got %d files, want memory and crash file", len(files))
	}
	w := &worker{}
	var procs int
	var limit int64
	if _, err := fmt.Sscanf(os.Getenv(workerEnv), "%d %d %d %d", &w.index, &w.incarnation, &procs, &limit); err != nil {
		return nil, fmt.Errorf("read %s=%q: %w", workerEnv, os.Getenv(workerEnv), err)
	}
	os.Unsetenv(workerEnv)
	runtime.GOMAXPROCS(procs)
	if limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	seg, err := shm.Attach(files[0])
	if err != nil {
		return nil, err
	}
	params, err := layout.Check(seg.Bytes(), layout.KindPool)
	if err != nil {
		return nil, err
	}
	g, err := geometryOf(params, seg.Size())
	if err != nil {
		return nil, err
	}
	if w.mem, err = view(seg.Bytes(), g); err != nil {
		return nil, err
	}
	if w.index < 0 || w.index >= g.workers {
		return nil, fmt.Errorf("worker %d of %d", w.index, g.workers)
	}
	w.area = &w.mem.workers[w.index]
	w.crowd, w.bell = w.mem.crowd(), w.mem.bell()
	w.completions = w.mem.completions(w.index).Producer(0)
	w.results = newResults(seg, w.mem, w.index)
	w.idling = newIdling()
	return w, nil
}

// prepare does what may fail for reasons of the user's.
func (w *worker) prepare(crash *os.File) (err error) {
	if err := debug.SetCrashOutput(crash, debug.CrashOptions{}); err != nil {
		return fmt.Errorf("set crash output: %w", err)
	}
	if w.functions, err = bind(append([]byte(nil), w.mem.table()...)); err != nil {
		return err
	}
	return prepareWorker(w.mem.init())
}

// report tells the parent this worker's status.
func (w *worker) report(s bootStatus) {
	w.area.status.Store(uint32(s)) // a full fence; pairs with the load in Pool.report
	w.bell.ring()
}

// refuse tells the parent why this worker does not start.
func (w *worker) refuse(err error) {
	boot := w.mem.boot(w.index)
	text := remote(err).encodeWithin(len(boot) - 4)
	binary.LittleEndian.PutUint32(boot, uint32(copy(boot[4:], text)))
	w.report(refused)
}

// push tells the parent that the task in slot i has ended, and wakes it if it sleeps. The
// ring has room for every slot, so it is full only if the parent has found ended tasks
// without it and has not looked at the ring since.
func (w *worker) push(i uint32) {
	for {
		_, ok := w.completions.TryPush(i)
		w.bell.ring()
		if ok {
			return
		}
		sys.FutexWait(&w.area.wake, w.area.wake.Load(), roomStep)
	}
}

// serve runs tasks until the pool stops. A task that calls runtime.Goexit ends the
// goroutine: another takes over.
func (w *worker) serve(served chan struct{}) {
	ended := false
	defer func() {
		if !ended {
			go w.serve(served)
		}
	}()
	for {
		i, gen, ok := w.next()
		if !ok {
			break
		}
		w.run(i, gen)
	}
	ended = true
	close(served)
}

// next waits for a task and claims it. It returns false once the pool stops.
func (w *worker) next() (i uint32, gen uint64, ok bool) {
	for {
		if i, ok := w.mem.ready.TryPop(); ok {
			if gen, ok := w.claim(i); ok {
				return i, gen, true
			}
			continue
		}
		if w.mem.ctl.stop.Load() != 0 {
			return 0, 0, false
		}
		w.wait()
	}
}

// claim makes the task in slot i this worker's. Killed before the CAS, the worker has
// taken a hint with it: the parent pushes it again. Killed after it, its word names the
// worker, whose tasks the parent ends.
func (w *worker) claim(i uint32) (gen uint64, ok bool) {
	if int(i) >= len(w.mem.slots) {
		return 0, false
	}
	s := &w.mem.slots[i]
	was := word(s.word.Load()) // pairs with the store in Pool.publish
	if was.state() != queued {
		return 0, false // a stale hint: cancelled, or claimed by another
	}
	claimed := makeWord(running, w.incarnation, was.gen())
	return was.gen(), s.word.CompareAndSwap(uint64(was), uint64(claimed))
}

// run runs the task in slot i and hands the result over. Whatever happens in the user's
// function, exactly one result or error is placed; only the death of the process leaves none.
func (w *worker) run(i uint32, gen uint64) {
	s := &w.mem.slots[i]
	out := &w.out
	*out = answer{worker: w, slot: s, index: i}
	fn := &unknown
	if int(s.fn) < len(w.functions) {
		fn = &w.functions[s.fn]
	}
	outcome := failed
	defer func() { // also after Goexit
		if outcome == failed && !out.placed {
			out.fail(remoteError{Message: "the task called runtime.Goexit"})
		}
		w.endContext()
		w.finish(i, gen, outcome)
	}()
	if err := w.invoke(fn, gen, i, out); err != nil {
		out.fail(*err)
		return
	}
	if out.placed {
		outcome = done
	}
}

// unknown stands for what is not in the table.
var unknown = binding{name: "?", err: errors.New("no such function")}

// invoke calls the function; a panic becomes an error with its stack.
func (w *worker) invoke(fn *binding, gen uint64, i uint32, out *answer) (failure *remoteError) {
	if fn.err != nil {
		e := remote(fn.err)
		return &e
	}
	defer func() {
		if v := recover(); v != nil {
			e := remoteError{Panicked: true, Message: panicText(v), Stack: string(debug.Stack())}
			if err, ok := v.(error); ok {
				e.Sentinels = sentinelsIn(err)
			}
			failure = &e
		}
	}()
	arg, err := w.argument(i)
	if err == nil {
		err = fn.handler.serve(w.context(i, gen), arg, out)
	}
	if err != nil {
		e := remote(err)
		return &e
	}
	return nil
}

// panicText prints a panic's value, whose methods are the user's and may panic too.
func panicText(v any) (text string) {
	defer func() {
		if again := recover(); again != nil {
			text = fmt.Sprintf("(%T, which panicked when it was printed: %v)", v, again)
		}
	}()
	return fmt.Sprint(v)
}

// argument returns the bytes of slot i's argument, where they lie.
func (w *worker) argument(i uint32) ([]byte, error) {
	s := &w.mem.slots[i]
	n := s.argLen
	switch s.argKind {
	case inline:
		if n <= inlineBytes {
			return s.arg[:n:n], nil
		}
	case near:
		if n <= nearBytes {
			return w.mem.argNear(i)[:n:n], nil
		}
	case distant:
		off := binary.LittleEndian.Uint64(s.arg[:])
		if size := uint64(len(w.mem.bytes)); off <= size && n <= size-off {
			return w.mem.bytes[off : off+n : off+n], nil
		}
	}
	return nil, fmt.Errorf("read argument: %d bytes at place %d make no sense", n, s.argKind)
}

// finish hands the result over: truth first, then the hint. A CAS that fails says that
// the parent has given this worker up; it must not claim anything again.
func (w *worker) finish(i uint32, gen uint64, outcome state) {
	mine := makeWord(running, w.incarnation, gen)
	ended := makeWord(outcome, w.incarnation, gen)
	if !w.mem.slots[i].word.CompareAndSwap(uint64(mine), uint64(ended)) { // pairs with the load in Pool.settle
		os.Exit(exitDoomed)
	}
	w.push(i)
}

// exitDoomed is the exit code of a worker that was to die anyway.
const exitDoomed = 3
