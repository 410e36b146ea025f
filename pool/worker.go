package pool

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"sync"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/telemetry"
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
	retired // it ends, having run as many tasks as it may
)

// An extent is a part of the arena.
type extent struct{ off, n int64 }

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
	store       *store
	waiting     sync.Mutex // held by a task that waits for memory
	looks       uint32     // for some, in vain; guarded by waiting
	hold        holdings
	ending      ending
	answers     answers
	idling      idling
	batch       batch
	owes        bool // a call: see callNext
	diary       diary

	// The task that runs.
	busy     bool
	gen      uint64
	ran      int // tasks and items so far
	tasks    int // after which it ends; 0: none
	out      answer
	contexts *contexts

	far     extent // of the arena: the argument, if it lies there
	nearby  uint64 // bytes of the last argument, if it lay beside its slot: the next may, too
	stopped bool   // the pool wants no more
	unrung  bool   // a report was made after which the bell was not looked at
}

// workerMain serves until the parent wants no more. files are the pool's memory,
// the file for last words and a worker's baggage.
func workerMain(files []*os.File) {
	w, err := attachWorker(files)
	if err != nil {
		fmt.Fprintf(os.Stderr, "shmkit: worker cannot start: %v\n", err)
		if len(files) >= 2 { // pairs with lastWords: the parent cannot be told through memory that was not mapped
			fmt.Fprintf(files[1], "cannot start: %v\n", err)
		}
		os.Exit(1)
	}
	if err := w.prepare(files[1], files[2:]); err != nil {
		w.refuse(err)
		os.Exit(1)
	}
	w.mindSignals()
	w.diary.event(telemetry.Began, 0)
	w.report(serving)
	served := make(chan struct{})
	go w.serve(served)
	<-served
	w.ending.run()
}

// attachWorker maps the memory and finds this worker's parts of it.
func attachWorker(files []*os.File) (*worker, error) {
	if len(files) < 2 {
		return nil, fmt.Errorf("got %d files, want memory and crash file", len(files))
	}
	at, err := readPosting()
	if err != nil {
		return nil, err
	}
	at.enforce()
	w := &worker{index: at.index, incarnation: at.incarnation}
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
	if err := g.advise(seg); err != nil {
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
	if w.store, err = openStore(seg, w.mem, workerHolder(w.incarnation)); err != nil {
		return nil, err
	}
	w.idling, w.batch, w.owes = newIdling(at.cpus), newBatch(), true
	w.diary = openDiary(w.mem, w.index, w.incarnation)
	w.tasks = at.tasks
	w.out.worker, w.contexts = w, newContexts(w.mem.bytes, w.area)
	w.contexts.worker, w.hold.w = w, w
	processContexts = w.contexts
	go w.contexts.watch()
	return w, nil
}

// prepare does what may fail for reasons of the user's.
func (w *worker) prepare(crash *os.File, objects []*os.File) (err error) {
	if err := debug.SetCrashOutput(crash, debug.CrashOptions{}); err != nil {
		return fmt.Errorf("set crash output: %w", err)
	}
	_ = crash.Close() // the runtime has a descriptor of its own
	if w.functions, err = bind(append([]byte(nil), w.mem.table()...)); err != nil {
		return err
	}
	init, exit, err := decodeBoth(append([]byte(nil), w.mem.init()...))
	if err != nil {
		return err
	}
	b, err := unpack(objects)
	if err != nil {
		return err
	}
	defer b.init.Close()
	w.ending.exit, w.ending.shared = exit, b.exit
	return prepareWorker(init, b.init)
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
