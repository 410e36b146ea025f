//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// CheckFutexWaitv returns why futex_waitv cannot be called, of Linux 5.16: the kernel is older, or a filter forbids it.
func CheckFutexWaitv() error {
	const number = 449 // on all architectures
	_, _, errno := unix.Syscall6(number, 0, 0, 0, 0, 0, 0)
	if errno == unix.EINVAL { // there are no words to wait on
		return nil
	}
	return fmt.Errorf("futex_waitv: %w", errno)
}

// CheckFenceAll returns why [FenceAll] cannot be relied on.
func CheckFenceAll() error {
	const query = 0
	commands, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, query, 0, 0)
	switch {
	case errno != 0:
		return fmt.Errorf("membarrier: %w", errno)
	case commands&globalExpedited == 0 || commands&registerGlobalExpedited == 0:
		return errors.New("membarrier: GLOBAL_EXPEDITED is not among its commands")
	}
	return nil
}

// RoomIn returns the size of the file system at path and what is free there, in bytes; 0 and 0 if it has no limit.
func RoomIn(path string) (size, free int64, err error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, 0, fmt.Errorf("read free space in %s: %w", path, err)
		}
		return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
	}
}
