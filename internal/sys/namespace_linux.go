//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const pidNamespace = "/proc/self/ns/pid"

// PIDNamespace returns the number of the PID namespace in which this process is: the inode of its link in /proc. The error
// says also that /proc is that of another namespace, where pids name others.
func PIDNamespace() (uint64, error) {
	// The link is followed to the caller, whoever's /proc it is; its name there is the pid by which that /proc knows it.
	pid, err := os.Readlink("/proc/self")
	if err != nil {
		return 0, fmt.Errorf("find this process in /proc: %w", err)
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return 0, fmt.Errorf("/proc belongs to another PID namespace: process %d is %s there: mount the namespace's own", os.Getpid(), pid)
	}
	for {
		var s unix.Stat_t
		switch err := unix.Stat(pidNamespace, &s); {
		case err == nil:
			return s.Ino, nil
		case !errors.Is(err, unix.EINTR):
			return 0, fmt.Errorf("look at %s: %w", pidNamespace, err)
		}
	}
}
