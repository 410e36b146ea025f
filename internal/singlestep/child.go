//go:build linux && amd64

package singlestep

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// childEnv names the operation that a re-executed test binary runs.
const childEnv = "SHMKIT_STEP_OPERATION"

// An Operation maps the memory in f, prepares what comes before, and returns what is stepped.
type Operation func(f *os.File) (stepped func())

// Child runs the operation that this process was started for, which ends the process; in others it does nothing. It is
// for an init function of the test binary.
func Child(operations map[string]Operation) {
	name := os.Getenv(childEnv)
	if name == "" {
		return
	}
	operation := operations[name]
	if operation == nil {
		fmt.Fprintf(os.Stderr, "no operation %q to step\n", name)
		os.Exit(2)
	}
	runtime.LockOSThread()
	stepped := operation(os.NewFile(3, "memory"))
	if err := Prepare(os.NewFile(4, "tell"), os.NewFile(5, "begin")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	stepped()
	Stop()
	os.Exit(0) // only if nobody traces it any more
}

// Environment is what a process has to be started with for its threads to be stepped: nothing of the runtime's interrupts what
// they do.
func Environment() []string { return []string{"GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1", "GOGC=off"} }

// Prepare tells whoever will trace this thread its number, through tell, waits until there is something to read from begin, and
// stops. The goroutine must be locked to its thread, and calls [Stop] at the end of what is stepped.
func Prepare(tell, begin *os.File) error {
	if _, err := fmt.Fprintln(tell, unix.Gettid()); err != nil {
		return fmt.Errorf("tell the thread's number: %w", err)
	}
	if _, err := begin.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("wait to begin: %w", err)
	}
	runtime.Gosched() // now, if the scheduler wants it, and not in what is stepped
	Stop()
	return nil
}

// Stop stops this thread for who traces it. Nothing else of the process stops. The calls are raw ones: nothing
// of the scheduler's is part of what is stepped.
func Stop() {
	tid, _, _ := unix.RawSyscall(unix.SYS_GETTID, 0, 0, 0)
	pid, _, _ := unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
	_, _, _ = unix.RawSyscall(unix.SYS_TGKILL, pid, tid, uintptr(unix.SIGSTOP))
}

// Run starts this test binary as the child that runs the operation on the memory in f, which is mapped here as shared, and walks
// through it. wake is as in [Subject]. The child has ended when Run returns.
func (w *Walk) Run(operation string, f *os.File, wake func() bool, shared ...[]byte) (err error) {
	tell, told, err := os.Pipe()
	if err != nil {
		return err
	}
	defer tell.Close()
	defer told.Close()
	begin, start, err := os.Pipe()
	if err != nil {
		return err
	}
	defer begin.Close()
	defer start.Close()
	var stderr bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), Environment()...), childEnv+"="+operation)
	cmd.ExtraFiles = []*os.File{f, told, begin}
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	defer func() {
		cmd.Process.Kill() // it was, unless something has failed
		cmd.Wait()         // the error says so
		if err != nil && stderr.Len() > 0 {
			err = fmt.Errorf("%w: the child says: %s", err, &stderr)
		}
	}()
	told.Close() // the child's end, so that its death ends the read
	s := Subject{Pid: cmd.Process.Pid, Shared: shared, Wake: wake}
	if _, err := fmt.Fscanln(tell, &s.Tid); err != nil {
		return errors.Join(errors.New("the child does not say that it is ready"), err)
	}
	s.Begin = func() error { _, err := start.Write([]byte{1}); return err }
	return w.Through(s)
}
