//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Dup returns another descriptor of f, close-on-exec.
func Dup(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor: %w", err)
	}
	fd := -1
	if e := conn.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor of %q: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
