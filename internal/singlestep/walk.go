//go:build linux && amd64

package singlestep

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A Walk is one way of a thread through an operation, to its end or to a kill.
type Walk struct {
	point int  // the state at which the process is killed, counted from 0; negative: none
	every bool // each instruction makes a state

	// What has come of it.
	Instructions int
	States       int
	Killed       bool // at its point
	Returned     bool // the operation has ended; the process was killed after that
	Asleep       bool // it slept in the kernel and nobody woke it; it was killed there
}

// Whole reports whether the walk lets the operation end.
func (w *Walk) Whole() bool { return w.point < 0 }

// A Subject is a thread that waits in [Prepare], or whose task does.
type Subject struct {
	Pid, Tid int

	// Shared is what the process shares with others, as this process has it mapped.
	Shared [][]byte

	// Begin lets the thread return from Prepare.
	Begin func() error

	// Wake is called when the thread sleeps on a shared futex. It wakes it and reports true, or reports false: then
	// the walk ends there. Without it the walk ends.
	Wake func() bool
}

// watchdog bounds a walk.
const watchdog = 60 * time.Second

// Through traces the thread, lets it begin, and steps. When it returns the process has been killed, and can be
// waited for.
func (w *Walk) Through(s Subject) error {
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // whoever traces is a thread
		defer runtime.UnlockOSThread()
		defer close(ended) // also if Wake ends the goroutine, as a test does that fails
		ended <- w.trace(s)
	}()
	return <-ended
}

func (w *Walk) trace(s Subject) (err error) {
	th := &thread{pid: s.Pid, tid: s.Tid, calls: make(map[uint64]bool)}
	defer func() { err = errors.Join(err, th.end()) }()
	if err := th.seize(); err != nil {
		return fmt.Errorf("trace thread %d: %w", s.Tid, err)
	}
	late := time.AfterFunc(watchdog, th.kill) // ends any wait
	defer late.Stop()
	if err := s.Begin(); err != nil {
		return fmt.Errorf("let thread %d begin: %w", s.Tid, err)
	}
	if err := th.toStop(); err != nil {
		return err
	}
	if err := unix.PtraceSetOptions(s.Tid, unix.PTRACE_O_EXITKILL); err != nil { // while it is stopped
		return fmt.Errorf("set options of thread %d: %w", s.Tid, err)
	}
	if err := th.freezeMonitor(); err != nil {
		return fmt.Errorf("stop the runtime's thread beside thread %d: %w", s.Tid, err)
	}
	if err := w.step(th, s); err != nil {
		return fmt.Errorf("step %d of thread %d: %w", w.Instructions, s.Tid, err)
	}
	return nil
}

// step goes from the stop before the operation to the one after it, or to its point.
func (w *Walk) step(th *thread, s Subject) error {
	was := snapshot(s.Shared)
	for w.States = 1; w.States-1 != w.point; {
		next, err := th.next()
		if err != nil {
			return err
		}
		was.update(s.Shared) // what others have written while it stood
		stopped, slept, err := th.step(next == waitCall)
		if slept {
			if w.States++; w.States-1 == w.point {
				break
			}
			if w.Asleep = s.Wake == nil || !s.Wake(); w.Asleep {
				return nil
			}
			stopped, err = th.wait()
		}
		switch {
		case err != nil:
			return err
		case stopped == unix.SIGSTOP:
			w.Returned = true
			return nil
		}
		w.Instructions++
		if !was.update(s.Shared) && next == plain && !w.every {
			continue
		}
		w.States++
	}
	w.Killed = true
	return nil
}

// A copied is the shared bytes as they were.
type copied [][]byte

func snapshot(shared [][]byte) copied {
	c := make(copied, len(shared))
	for i, b := range shared {
		c[i] = bytes.Clone(b)
	}
	return c
}

// update takes the bytes as they are now and reports whether they have changed. Plain reads: the only thread that writes them is
// stopped, and what others write meanwhile is theirs.
func (c copied) update(shared [][]byte) (changed bool) {
	for i, b := range shared {
		if !bytes.Equal(c[i], b) {
			copy(c[i], b)
			changed = true
		}
	}
	return changed
}
