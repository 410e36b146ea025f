//go:build linux && amd64

package singlestep

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An instruction is what the thread is about to do, as far as a walk cares.
type instruction int

const (
	plain    instruction = iota // also a system call of the Go runtime's
	ownCall                     // a system call of the operation's that others can notice
	waitCall                    // one that sleeps on a shared word
)

// A thread is a traced one. All but kill is for the thread that traces it.
type thread struct {
	pid, tid int
	calls    map[uint64]bool // whether the instruction at an address is a system call
	monitor  *thread         // of the runtime's; nil if it is not traced
	cpus     unix.CPUSet     // of this thread before
}

func (th *thread) kill() { _ = unix.Kill(th.pid, unix.SIGKILL) }

// seize begins to trace the thread.
func (th *thread) seize() error {
	if err := unix.PtraceSeize(th.tid); err != nil {
		return fmt.Errorf("%w: this test needs ptrace, which the machine or the container must allow", err)
	}
	if err := th.share(); err != nil {
		return fmt.Errorf("share a processor: %w", err)
	}
	return nil
}

// share has the thread and this one, who take turns, run on the same processor: to wake another takes many times as long as
// a step.
func (th *thread) share() error {
	if err := unix.SchedGetaffinity(0, &th.cpus); err != nil {
		return err
	}
	var one unix.CPUSet
	nth := th.pid % th.cpus.Count()
	for cpu := 0; ; cpu++ {
		if !th.cpus.IsSet(cpu) {
			continue
		}
		if nth--; nth < 0 {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	return unix.SchedSetaffinity(th.tid, &one)
}

// freezeMonitor stops the Go runtime's thread that takes the processor from goroutines which run for long: those that are stepped
// through do, and would spend most of their time in the scheduler. It is the first that the runtime starts. The thread
// stands, and so has a processor of Go's: without the monitor nobody else's is had back from a system call.
func (th *thread) freezeMonitor() error {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/task", th.pid))
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(2) // as they were started
	if err != nil {
		return err
	}
	monitor := &thread{pid: th.pid}
	if monitor.tid, err = strconv.Atoi(names[len(names)-1]); err != nil || monitor.tid == th.tid {
		return errors.Join(err, fmt.Errorf("threads %q do not include it", names))
	}
	if err := unix.PtraceSeize(monitor.tid); err != nil {
		return err
	}
	th.monitor = monitor
	if err := unix.PtraceInterrupt(monitor.tid); err != nil {
		return err
	}
	_, err = monitor.wait()
	return err
}

// end kills the process and lets go of it, so that its parent can wait for it: threads that were traced are not gone before they
// were waited for. The first of a process is the parent's.
func (th *thread) end() error {
	th.kill()
	th.bury()
	if th.monitor != nil {
		th.monitor.bury()
	}
	if th.cpus.Count() == 0 {
		return nil
	}
	return unix.SchedSetaffinity(0, &th.cpus)
}

// bury waits for the end of a thread that was killed.
func (th *thread) bury() {
	var status unix.WaitStatus
	for th.tid != th.pid {
		if _, err := unix.Wait4(th.tid, &status, unix.WALL, nil); err != unix.EINTR && (err != nil || !status.Stopped()) {
			return
		}
	}
}

// toStop lets the thread run until it stops itself.
func (th *thread) toStop() error {
	for {
		got, err := th.wait()
		if err != nil || got == unix.SIGSTOP {
			return err
		}
		if got == unix.SIGTRAP {
			got = 0 // of the trace's own
		}
		if err := unix.PtraceCont(th.tid, int(got)); err != nil {
			return fmt.Errorf("continue: %w", err)
		}
	}
}

// wait waits for the thread's next stop. A signal that comes meanwhile is left out: there is none in these tests.
func (th *thread) wait() (unix.Signal, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(th.tid, &status, unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		return th.stopped(status, err)
	}
}

func (th *thread) stopped(status unix.WaitStatus, err error) (unix.Signal, error) {
	if err != nil {
		return 0, fmt.Errorf("wait for its stop: %w", err)
	}
	if !status.Stopped() {
		return 0, fmt.Errorf("it ended: wait status %#x", uint32(status))
	}
	return status.StopSignal(), nil
}

// step runs one instruction. waits says that it may sleep: slept reports that it does, and then the stop is still to come.
func (th *thread) step(waits bool) (stopped unix.Signal, slept bool, err error) {
	if err := unix.PtraceSingleStep(th.tid); err != nil {
		return 0, false, fmt.Errorf("step: %w", err)
	}
	for waits {
		var status unix.WaitStatus
		pid, err := unix.Wait4(th.tid, &status, unix.WALL|unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if pid != 0 || err != nil {
			stopped, err = th.stopped(status, err)
			return stopped, false, err
		}
		if th.sleeps() {
			return 0, true, nil
		}
	}
	stopped, err = th.wait()
	return stopped, false, err
}

// sleeps reports whether the thread sleeps in the kernel.
func (th *thread) sleeps() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", th.pid, th.tid))
	if err != nil {
		return false // it has ended: the wait says so
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "S")
}

// next says what the thread is about to do.
func (th *thread) next() (instruction, error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(th.tid, &regs); err != nil {
		return plain, fmt.Errorf("read registers: %w", err)
	}
	call, known := th.calls[regs.Rip]
	if !known {
		var code [2]byte
		if _, err := unix.PtracePeekText(th.tid, uintptr(regs.Rip), code[:]); err != nil {
			return plain, fmt.Errorf("read instruction: %w", err)
		}
		call = code == [2]byte{0x0f, 0x05} // SYSCALL
		th.calls[regs.Rip] = call
	}
	if !call {
		return plain, nil
	}
	kind := callOf(regs.Rax, regs.Rsi)
	if kind == waitCall && regs.Rsi&clockRealtime != 0 {
		return plain, errWallClock
	}
	return kind, nil
}

// clockRealtime is what has a futex's timeout go by the wall clock, which somebody may set.
const clockRealtime = 0x100

var errWallClock = errors.New("it is about to sleep by the wall clock")

// callOf tells the system calls that concern shared memory from those of the Go runtime, whose futexes are private. op is the second
// argument.
func callOf(number, op uint64) instruction {
	const private, command = 0x80, 0x7f
	const wait, waitBitset = 0, 9
	switch {
	case number == unix.SYS_FALLOCATE:
		return ownCall
	case number != unix.SYS_FUTEX || op&private != 0:
		return plain
	case op&command == wait || op&command == waitBitset:
		return waitCall
	}
	return ownCall
}
