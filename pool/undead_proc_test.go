//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What package syscall has no names for, of ptrace(2).
const (
	ptraceSeize     = 0x4206
	ptraceInterrupt = 0x4207
	ptraceTraceExit = 0x40 // stop before the end, SIGKILL or not
	ptraceEventExit = 6    // that stop
)

// A tracer has one thread, which is the only one that may ask for anything.
type tracer struct {
	t     *testing.T
	pid   int
	calls chan func()
	over  chan struct{}
}

// seize traces the main thread of a process, without stopping it.
func seize(t *testing.T, pid int, options uintptr) *tracer {
	tr := &tracer{t: t, pid: pid, calls: make(chan func()), over: make(chan struct{})}
	go func() {
		defer close(tr.over)
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and with it what it traces goes on
		for call := range tr.calls {
			call()
		}
	}()
	tr.do(func() { tr.ptrace(ptraceSeize, options) })
	return tr
}

func (tr *tracer) do(call func()) {
	done := make(chan struct{})
	tr.calls <- func() { defer close(done); call() }
	<-done
}

func (tr *tracer) ptrace(request int, data uintptr) {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, uintptr(request), uintptr(tr.pid), 0, data, 0, 0)
	assert.Zero(tr.t, errno, "ptrace request %#x: %v", request, errno)
}

// await waits until the thread has stopped.
func (tr *tracer) await() (status syscall.WaitStatus) {
	_, err := syscall.Wait4(tr.pid, &status, syscall.WALL, nil)
	assert.NoError(tr.t, err)
	assert.True(tr.t, status.Stopped(), "%#x", status)
	return status
}

// awaitEnd lets the thread have its signals, for each of which it stops, until it stops before its end.
func (tr *tracer) awaitEnd() {
	for {
		status := tr.await()
		if tr.t.Failed() || status.TrapCause() == ptraceEventExit {
			return
		}
		if err := syscall.PtraceCont(tr.pid, int(status.StopSignal())); err != nil {
			assert.ErrorIs(tr.t, err, syscall.ESRCH) // SIGKILL was faster
		}
	}
}

func (tr *tracer) interrupt() { tr.do(func() { tr.ptrace(ptraceInterrupt, 0); tr.await() }) }

// detach lets the process go on.
func (tr *tracer) detach() {
	tr.do(func() { assert.NoError(tr.t, syscall.PtraceDetach(tr.pid)) })
	close(tr.calls)
	<-tr.over
}

// cling makes a worker outlive SIGKILL, as one in the kernel does that waits for a disk (state D): until detach is called. It says when the
// worker should have died.
func cling(t *testing.T, pid int) (tr *tracer, dying <-chan struct{}) {
	tr = seize(t, pid, ptraceTraceExit)
	died := make(chan struct{})
	go tr.do(func() { tr.awaitEnd(); close(died) })
	return tr, died
}

// A worker that was killed and does not die: its caller has the error, its place is another's, and what it was given stays as it is until
// it is dead. Not seen in any suite.
func TestUndeadWorker(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: 300 * time.Millisecond, MaxWorkers: 2})
	dir := filepath.Dir(newGate(t).path)
	given := newWords(t, p, 1000)
	f, err := standsWith.Go(t.Context(), p, gated{dir, given})
	require.NoError(t, err)
	pid := standing(t, dir, 1)[0]
	tr, dying := cling(t, pid)
	p.mu.Lock()
	p.putDown(p.members[0], errStopped)
	p.mu.Unlock()
	receive(t, dying)

	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, ErrWorkerDied)
	require.ErrorIs(t, err, errUndead)
	require.ErrorIs(t, err, errStopped)
	for i := range 100 { // by another
		same(t, p, echoInt, i)
	}
	require.Zero(t, p.Stats().Outstanding)
	require.False(t, given.Held())
	require.Equal(t, 1, p.Memory().Count, "its block is not another's yet")
	require.Equal(t, 1, slotsThatAre(p, doomed), "nor its slot")
	tr.detach()
	eventually(t, "all is free", func() bool { return p.Memory().Count == 0 && slotsThatAre(p, doomed) == 0 })
	requireStaff(t, p, 1)
	requireNothingHeld(t, p)
}

type gated struct {
	Dir   string
	Given *Block[uint64]
}

var standsWith = Func("stands with", func(ctx context.Context, g gated) (int, error) { return stands.fn(ctx, g.Dir) })

// In a Map the item fails, those before it have their results, and the others go on.
func TestUndeadWorkerInMap(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: soon})
	const bad, n = 500, 1000
	var tr *tracer
	i := 0
	for y, err := range stubborn.With(Timeout(soon)).Map(t.Context(), p, func(yield func(int) bool) {
		for i := range n {
			x := i
			if i == bad {
				tr, _ = cling(t, pids(p)[0])
				x = -1
			}
			if !yield(x) {
				return
			}
		}
	}) {
		if i == bad {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		} else {
			require.NoError(t, err)
			require.Equal(t, i*i, y)
		}
		i++
	}
	require.Equal(t, n, i)
	require.EqualValues(t, 1, p.Stats().Cancelled)
	tr.detach()
	requireStaff(t, p, 1)
	requireNothingHeld(t, p)
}

// Closing a pool does not wait for it for ever, and says so.
func TestCloseBesideUndead(t *testing.T) {
	for name, end := range map[string]func(*Pool) error{
		"Close":     (*Pool).Close,
		"Terminate": func(p *Pool) error { p.Terminate(); return p.account(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(Options{Workers: 2, Grace: soon})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			f := beginEndless(t, ctx, p)
			tr, dying := cling(t, workerOf(p, runningSlot(p)))
			cancel()
			_, err = f.Wait(t.Context())
			require.ErrorIs(t, err, context.Canceled)
			if name == "Close" {
				receive(t, dying)
			}
			require.ErrorContains(t, end(p), "1 workers were killed and have not died")
			receive(t, dying)
			tr.detach()
		})
	}
}

// workerOf returns the pid of the worker that runs the task in slot i.
func workerOf(p *Pool, i int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.memberOf(word(p.mem.slots[i].word.Load()).worker()).pid()
}
