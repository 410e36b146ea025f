//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenPidfd returns a descriptor that stands for the process that has pid now, for
// [Exited] and [SendSignal]. It is close-on-exec and watched by the netpoller. The
// error wraps [os.ErrProcessDone] if there is no such process.
func OpenPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return nil, fmt.Errorf("open pidfd of process %d: %w", pid, err)
	}
	return watchable(fd)
}

// watchable makes a pidfd a file that the netpoller watches: only descriptors in
// non-blocking mode are.
func watchable(fd int) (*os.File, error) {
	if fd < 0 {
		return nil, fmt.Errorf("start process: no pidfd, Linux 5.10 or later is needed: %w", errors.ErrUnsupported)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("watch pidfd: %w", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// Exited reports whether the process behind pidfd has ended, with all its threads.
// It may not have been reaped yet. A pidfd polls as readable from then on.
func Exited(pidfd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n == 1 && fds[0].Revents&(unix.POLLIN|unix.POLLHUP) != 0
		}
	}
}
