//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ReadStat reads /proc/PID/stat into buf, of which 1 KiB is enough, and returns the
// part it filled. The error wraps [fs.ErrNotExist] if there is no such process.
func ReadStat(pid int, buf []byte) ([]byte, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/stat"
	if pid == os.Getpid() { // the same, and true on emulators, which invent the other, with another time of start in each thread
		name = "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/stat"
	}
	n, err := readFile(name, buf)
	if errors.Is(err, unix.ESRCH) { // it ended between open and read
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return buf[:n], nil
}

// Errno returns the error of that number.
func Errno(n int) error { return syscall.Errno(n) }

// ErrnoOf returns the number of the system error that err wraps, or 0.
func ErrnoOf(err error) int {
	var errno syscall.Errno
	errors.As(err, &errno)
	return int(errno)
}

// Read reads once from a descriptor, whatever its mode.
func Read(fd uintptr, buf []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), buf)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// Write writes once to a descriptor.
func Write(fd uintptr, data []byte) error {
	for {
		_, err := unix.Write(int(fd), data)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Close closes a descriptor that no os.File has.
func Close(fd uintptr) error { return unix.Close(int(fd)) }

// readFile reads a small file of /proc, which gives all in one read.
func readFile(name string, buf []byte) (int, error) {
	fd, err := open(name, unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return Read(uintptr(fd), buf)
}

func writeFile(name string, data []byte) error {
	fd, err := open(name, unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer unix.Close(fd)
	if err := Write(uintptr(fd), data); err != nil {
		return fmt.Errorf("write %q to %s: %w", data, name, err)
	}
	return nil
}

func open(name string, mode int) (int, error) {
	for {
		fd, err := unix.Open(name, mode|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func trimLine(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		return b[:n-1]
	}
	return b
}

// StatusOf returns the state of the process pid.
func StatusOf(pid int) (ProcessStatus, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/status"
	var buf [4096]byte
	n, err := readFile(name, buf[:])
	if err != nil {
		return ProcessStatus{}, fmt.Errorf("read %s: %w", name, err)
	}
	return parseStatus(buf[:n])
}
