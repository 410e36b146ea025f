package pool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// serve runs tasks until the pool stops. A task that calls runtime.Goexit ends the
// goroutine: another takes over.
func (w *worker) serve(served chan struct{}) {
	defer func() {
		if !w.stopped {
			go w.serve(served)
		}
	}()
	for !w.stopped {
		w.runTasks()
	}
	close(served)
}

// runTasks returns when the pool stops, and after a panic in a task: what it takes to
// survive one is set up once and not for each task.
func (w *worker) runTasks() {
	defer w.rescue()
	for w.next() {
		w.run()
	}
	w.stopped = true
}

// rescue ends a task that did not return: with an error, and the worker lives on.
func (w *worker) rescue() {
	if !w.busy {
		return // not in a task: a panic is a bug of this package, and ends the process
	}
	if v := recover(); v != nil {
		w.end(panicked(v))
	} else {
		w.end(&remoteError{Message: "the task called runtime.Goexit"})
	}
}

// panicked turns a panic into an error with its stack.
func panicked(v any) *remoteError {
	e := &remoteError{Panicked: true, Message: panicText(v), Stack: string(debug.Stack())}
	if err, ok := v.(error); ok {
		e.Sentinels = sentinelsIn(err)
	}
	return e
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

// next waits for a task and claims it. It returns false once the pool stops.
func (w *worker) next() bool {
	for {
		if w.area.retire.Load() != 0 || w.tasks > 0 && w.ran >= w.tasks { // pairs with the store in Pool.retireWorker
			w.retire()
			return false
		}
		if i, ok := w.batch.pop(w.area); ok {
			if w.claim(i) {
				w.ring() // fenced by the claim
				w.callNext()
				return true
			}
			continue
		}
		if w.take() {
			continue
		}
		w.area.batch[0].Store(0) // a full fence between the last report and the look at the bell
		w.ring()
		if w.mem.ctl.stop.Load() != 0 {
			return false
		}
		if w.area.sweep.Load() != 0 && w.area.sweep.Swap(0) != 0 { // pairs with the store in Pool.askToSweep
			w.store.Sweep()
		}
		w.wait()
	}
}

// retire ends this worker after its last task. What it has taken and not begun stays in its batch, for others: the parent pushes
// new hints once it is gone.
func (w *worker) retire() {
	w.area.status.Store(uint32(retired)) // a full fence between the last report and the look at the bell; pairs with Pool.exited
	w.ring()
	w.owes = true // a call may have found this worker alone
	w.callNext()
}

// claim makes the task in slot i this worker's. Killed before the CAS, the worker has
// taken a hint with it: the parent pushes it again. Killed after it, its word names the
// worker, whose tasks the parent ends.
func (w *worker) claim(i uint32) bool {
	if int(i) >= len(w.mem.slots) {
		return false
	}
	s := &w.mem.slots[i]
	was := word(s.word.Load()) // pairs with the store in Pool.enqueue
	if was.state() != queued {
		return false // a stale hint: cancelled, or claimed by another
	}
	w.gen = was.gen()
	if !s.word.CompareAndSwap(uint64(was), uint64(makeWord(running, w.incarnation, w.gen))) {
		return false
	}
	sys.ReleaseStore64(&w.area.current, uint64(makeOrder(i, w.gen, 0))) // pairs with the load in Pool.claimed
	w.out.slot, w.out.index, w.out.placed, w.out.bulky = s, i, false, shm.Block{}
	return true
}

// run runs the claimed task and hands the result over. Whatever happens in the user's
// function, exactly one result or error is placed; only the death of the process leaves none.
func (w *worker) run() {
	w.busy = true
	w.diary.begin(w)
	w.ran++
	if err := w.invoke(); err != nil {
		e := remote(err)
		w.end(&e)
		return
	}
	w.end(nil)
}

// invoke calls the function.
func (w *worker) invoke() error {
	s := w.out.slot
	if int(s.fn) >= len(w.functions) {
		return errors.New("no such function")
	}
	fn := &w.functions[s.fn]
	if fn.err != nil {
		return fn.err
	}
	if s.argKind == chunked {
		return fn.handler.serveChunk(w)
	}
	arg, err := w.argument(w.out.index)
	if err != nil {
		return err
	}
	return fn.handler.serve(w.contexts.begin(w.out.index, w.gen), arg, &w.out)
}

// argument returns the bytes of slot i's argument, where they lie.
func (w *worker) argument(i uint32) ([]byte, error) {
	s := &w.mem.slots[i]
	n := s.argLen
	w.nearby = 0
	switch s.argKind {
	case inline:
		if n <= inlineBytes {
			return s.arg[:n:n], nil
		}
	case near:
		if n <= nearBytes {
			w.nearby = n
			return w.mem.argNear(i)[:n:n], nil
		}
	case distant:
		off := binary.LittleEndian.Uint64(s.arg[:])
		if size := uint64(len(w.store.mem)); off <= size && n <= size-off {
			w.expose(int64(off), int64(n))
			return w.store.mem[off : off+n : off+n], nil
		}
	}
	return nil, fmt.Errorf("read argument: %d bytes at place %d make no sense", n, s.argKind)
}

// end ends the running task, with failure if that is not nil.
func (w *worker) end(failure *remoteError) {
	outcome := done
	if failure != nil {
		outcome = failed
		w.out.fail(*failure)
	}
	w.contexts.end()
	w.busy = false
	w.finish(w.out.index, w.gen, outcome)
	w.diary.end(w, failure != nil)
	w.hold.settle(outcome == done)
	if guarded {
		w.hideAll()
	}
}

// expose lets the task use its argument, which lies in the arena.
func (w *worker) expose(off, n int64) {
	w.far = extent{off, n}
	w.store.show(off, n)
}

// hideAll keeps this process from what the last task had of the arena: its argument and its result.
func (w *worker) hideAll() {
	if w.far.n > 0 {
		w.store.hide(w.far.off, w.far.n)
	}
	if b := w.out.bulky; b.Cap > 0 {
		w.store.hide(b.Off, b.Cap)
	}
	w.far = extent{}
}

// finish hands the result over: truth first, then the hint. A CAS that fails says that
// the parent has given this worker up; it must not claim anything again.
func (w *worker) finish(i uint32, gen uint64, outcome state) {
	mine := makeWord(running, w.incarnation, gen)
	ended := makeWord(outcome, w.incarnation, gen)
	if !w.mem.slots[i].word.CompareAndSwap(uint64(mine), uint64(ended)) { // pairs with the load in Pool.settle
		w.depart(exitDoomed)
	}
	w.push(i)
	w.contexts.settle() // the CAS was a full fence
}

// exitDoomed is the exit code of a worker that was to die anyway.
const exitDoomed = 3

// push tells the parent that the task in slot i has ended. The ring has room for every
// slot, so it is full only if the parent has found ended tasks without it and has not
// looked at the ring since.
func (w *worker) push(i uint32) {
	w.unrung = true
	for !w.completions.TryPushUnfenced(i) {
		w.area.batch[0].Store(0) // a full fence, as in next
		w.ring()
		w.unrung = true
		sys.FutexWait(&w.area.wake, w.area.wake.Load(), roomStep)
	}
}

// ring wakes the parent if it sleeps and was not told of a report yet. A report costs no fence of
// its own: the next claim is one, and comes before the next task can take its time.
func (w *worker) ring() {
	if w.unrung {
		w.unrung = false
		w.bell.ring()
	}
}
