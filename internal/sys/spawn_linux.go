//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Spawn starts c and returns its pid and its pidfd, which is close-on-exec and
// watched by the netpoller. The child is killed when the calling THREAD ends, unless it is detached, so the
// caller is locked to one that never does. The child must be reaped by [Reap].
//
// Descriptors other than c.Files are inherited unless they are close-on-exec.
func Spawn(c Command) (pid int, pidfd *os.File, err error) {
	fd := -1
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, PidFD: &fd}
	if c.Detached {
		attr.Pdeathsig, attr.Setsid = 0, true
	}
	pid, err = syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   c.Env,
		Files: c.Files,
		Sys:   attr,
	})
	if errors.Is(err, unix.EBADF) {
		err = unix.EMFILE // c.Files are open: dup3(2) says so of a new number that is beyond the limit
	}
	if err != nil {
		return 0, nil, fmt.Errorf("fork and exec %s: %w", c.Path, err)
	}
	if pidfd, err = watchable(fd); err != nil {
		// Still a child of ours that nobody reaped: the pid is its own.
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = Reap(pid)
		return 0, nil, err
	}
	return pid, pidfd, nil
}

// Reap waits for the end of the child pid, takes it out of the system's table and
// says how it ended. It costs a thread while the child runs.
func Reap(pid int) (Exit, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return Exit{Code: -1}, fmt.Errorf("wait for process %d: %w", pid, err)
		case status.Signaled():
			return Exit{Code: -1, Signal: int(status.Signal())}, nil
		}
		return Exit{Code: status.ExitStatus()}, nil
	}
}

// Exec replaces the program of this process and returns only if it could not. It is
// called on the main thread: a death signal belongs to a thread, and those of the
// others are lost.
func Exec(path string, args, env []string) error {
	if err := syscall.Exec(path, args, env); err != nil {
		return fmt.Errorf("exec %s: %w", path, err)
	}
	return nil
}
