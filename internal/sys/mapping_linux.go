//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CheckSeals returns an error that names what is missing unless f is a memory file
// that nobody can shrink or grow any more.
func CheckSeals(f *os.File) error {
	have, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if errors.Is(err, unix.EINVAL) {
		return errors.New("not a memory file: it cannot be sealed")
	}
	if err != nil {
		return fmt.Errorf("read seals: %w", err)
	}
	var missing []string
	for _, seal := range []struct {
		bit  int
		name string
	}{{unix.F_SEAL_SHRINK, "SHRINK"}, {unix.F_SEAL_GROW, "GROW"}} {
		if have&seal.bit == 0 {
			missing = append(missing, seal.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not sealed against %s: whoever has the file could make every access to it fault",
			strings.Join(missing, " and "))
	}
	return nil
}

// CloseOnExec keeps f out of the programs that this process starts, unless it is
// passed to one. A descriptor that a parent passed on lacks this.
func CloseOnExec(f *os.File) error {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return fmt.Errorf("set close-on-exec: %w", err)
	}
	return nil
}

// OutOfMemory reports whether err, from [Allocate] or [Unnamed], says that the machine, its
// control group, a memory file system or the user's share of it is full.
func OutOfMemory(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EDQUOT)
}

// Retire replaces a whole mapping, in one step, by addresses that nobody may read
// or write: the memory is let go, and a use that comes too late faults. The
// addresses stay taken until the mapping is unmapped as usual.
func Retire(mapping []byte) error {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_FIXED | unix.MAP_NORESERVE
	at := unsafe.Pointer(unsafe.SliceData(mapping))
	_, err := unix.MmapPtr(-1, 0, at, uintptr(len(mapping)), unix.PROT_NONE, flags)
	return err
}

// OpenQuick opens path for reading without ever waiting: not for the writer of a
// FIFO, not for a device. Nor does a terminal become the process's own.
func OpenQuick(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// OpenQuickWritable is [OpenQuick] for reading and writing.
func OpenQuickWritable(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// OpenPath opens what path leads to without touching it: not a driver's code, not its
// content. The file can be looked at, and opened for reading by [Reopen].
func OpenPath(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_PATH, 0)
}

// Reopen opens the very file that f is open on for reading, whatever leads to it now.
func Reopen(f *os.File) (*os.File, error) {
	return OpenQuick(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// FileID returns the numbers of the file system and of the file in it, which no two
// files that exist at the same time share.
func FileID(f *os.File) (dev, ino uint64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	st := info.Sys().(*syscall.Stat_t) // what package os gives on this system
	return st.Dev, st.Ino, nil
}
