package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// A Process is a child that was started. All methods may be called concurrently.
type Process struct {
	name   string
	pid    int
	pidfd  *os.File // closed by watch, after the reap
	status *os.File // what the child says if it does not reach its function; watch's
	done   chan struct{}
	err    error    // written by watch before it closes done, read after that
	exit   sys.Exit // likewise
}

// Pid returns the child's pid. It may belong to another process once Done is closed.
func (p *Process) Pid() int { return p.pid }

// Name returns the child's name: Options.Name, or that of what it runs.
func (p *Process) Name() string { return p.name }

// Alive reports whether the child has not ended, as far as this process knows: once it is false, [Process.ExitCode] tells how.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Done returns a channel that is closed when the child has ended and was reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the child's end. It returns nil if the child exited with code 0, an
// [*ExitError] if it ended otherwise, and the context's error if ctx ends first.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	default:
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for process %q (pid %d): %w", p.name, p.pid, ctx.Err())
	}
}

// ExitCode returns the exit code, or -1 if the child still runs or was ended by a
// signal.
func (p *Process) ExitCode() int {
	select {
	case <-p.done:
		return p.exit.Code
	default:
		return -1
	}
}

// Kill ends the child at once. The error is [os.ErrProcessDone] if it had ended and
// was reaped before.
func (p *Process) Kill() error { return p.Signal(os.Kill) }

// Terminate asks the child to end, by SIGTERM: the context of its [Function] ends. The error is [os.ErrProcessDone] if
// it had ended and was reaped before.
func (p *Process) Terminate() error { return p.Signal(sys.SIGTERM) }

// Signal sends s to the child, never to another process that has its pid by now.
// The error is [os.ErrProcessDone] if it has ended and was reaped.
func (p *Process) Signal(s os.Signal) error {
	var sent error
	conn, err := p.pidfd.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { sent = sys.SendSignal(fd, s) })
	}
	if err != nil { // closed, which watch does after the reap
		return os.ErrProcessDone
	}
	if sent != nil && !errors.Is(sent, os.ErrProcessDone) {
		return fmt.Errorf("send %v to process %q (pid %d): %w", s, p.name, p.pid, sent)
	}
	return sent
}

// watch waits for the child's end, reaps it and says so. released is called before
// Done is closed.
func (p *Process) watch(released func()) {
	// Reap would do the waiting, too, but with a thread for each child; it does where
	// the kernel has no room left to watch one more descriptor.
	_ = owner.Watch(p.pidfd)
	exit, err := sys.Reap(p.pid)
	p.exit, p.err = exit, p.exitError(exit, err)
	_ = p.status.Close()
	_ = p.pidfd.Close()
	released()
	close(p.done)
}

func (p *Process) exitError(exit sys.Exit, err error) error {
	if err == nil {
		err = p.reason()
	}
	if err == nil && exit.Code == 0 {
		return nil
	}
	return &ExitError{Name: p.name, Pid: p.pid, Code: exit.Code, Signal: sys.Signal(exit.Signal), Err: err}
}

// reason returns why the child did not reach its function; nil if it did. The child
// has ended: if it wrote something, that is in the pipe. It is read once, without
// waiting: a program that an initialiser of the child started before the pipe was
// close-on-exec may still hold the other end.
func (p *Process) reason() error {
	var buf [4096]byte
	n := 0
	if conn, err := p.status.SyscallConn(); err == nil {
		// Pairs with fail. Control, not Read: that waits for the pipe to be readable.
		_ = conn.Control(func(fd uintptr) { n, _ = sys.Read(fd, buf[:]) })
	}
	if n == 0 {
		return nil
	}
	number, text, _ := strings.Cut(string(buf[:n]), " ")
	errno, _ := strconv.Atoi(number)
	if errno == failedItself { // pairs with report
		return errors.New(text)
	}
	if errno != 0 {
		cause := sys.Errno(errno)
		return fmt.Errorf("did not start: %s: %w", strings.TrimSuffix(text, ": "+cause.Error()), cause)
	}
	return fmt.Errorf("did not start: %s", text)
}
