//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// The functions here change the process or thread that calls them. They serve the
// first stage of a child, which runs on one thread and does as little as it can, so
// they make their system calls without package os and its netpoller.

// CloseRange makes the descriptors from first up vanish at the next exec.
func CloseRange(first uint) error {
	err := unix.CloseRange(first, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 5.11
		// The runtime's own epoll descriptor goes too, so exec must follow at once.
		err = unix.CloseRange(first, math.MaxUint32, 0)
	}
	if err != nil {
		return fmt.Errorf("close descriptors from %d: %w", first, err)
	}
	return nil
}

// Inheritable returns the descriptors from first up that are not close-on-exec. It opens no file
// that it leaves open, and none through package os.
func Inheritable(first int) (fds []int, err error) {
	const name = "/proc/self/fd"
	dir, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer unix.Close(dir)
	var buf [4096]byte
	for {
		n, err := unix.ReadDirent(dir, buf[:])
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if n <= 0 {
			return fds, nil
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if fd, err := strconv.Atoi(name); err == nil && fd >= first && IsInheritable(fd) {
				fds = append(fds, fd)
			}
		}
	}
}

// IsInheritable reports whether fd is open and not close-on-exec.
func IsInheritable(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// SetCloexec keeps fd from the programs that this process executes.
func SetCloexec(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return fmt.Errorf("set close-on-exec on descriptor %d: %w", fd, err)
	}
	return nil
}

// InodeOf returns what no other pipe has as long as the one is open that fd is an end of.
func InodeOf(fd int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("look at descriptor %d: %w", fd, err)
	}
	return st.Ino, nil
}

// IsNoFile reports whether resource is the limit of open files, which the Go runtime
// raises to its maximum when a program starts.
func IsNoFile(resource int) bool { return resource == unix.RLIMIT_NOFILE }

// IsCPUTime reports whether resource is the limit of CPU time, of which SIGXCPU tells: the Go runtime drops
// that unless a program asks for it.
func IsCPUTime(resource int) bool { return resource == unix.RLIMIT_CPU }

// SetLimit sets a resource limit (RLIMIT_...) of this process.
func SetLimit(resource int, cur, max uint64) error {
	if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: cur, Max: max}); err != nil {
		return fmt.Errorf("set limit %d to %d (maximum %d): %w", resource, cur, max, err)
	}
	return nil
}

// RaiseOOMScore makes the kernel prefer this process, by that many thousandths of the
// memory, when it must kill one to get memory back.
func RaiseOOMScore(by int) error {
	const name, most = "/proc/self/oom_score_adj", 1000
	var buf [16]byte
	n, err := readFile(name, buf[:])
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	now, err := strconv.Atoi(string(trimLine(buf[:n])))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return writeFile(name, strconv.AppendInt(nil, int64(min(now+by, most)), 10))
}

// SetComm sets the name that ps and top show for this process, cut to 15 bytes. The
// other name, argv[0], is given at exec.
func SetComm(name string) error { return writeFile("/proc/self/comm", []byte(name)) }
