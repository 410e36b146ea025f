//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const contentSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL

// Sealed makes an anonymous memory file with data in it, readable by its owner alone. It is sealed against all changes: so who finds it sealed finds it
// complete.
func Sealed(name string, data []byte) (*os.File, error) {
	fd, err := memfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("create memory file %q: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	err = f.Chmod(0o600)
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, contentSeals)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("fill memory file %q: %w", name, err)
	}
	return f, nil
}

// IsSealed reports whether f is a memory file that nobody can change any more.
func IsSealed(f *os.File) bool {
	have, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	return err == nil && have&contentSeals == contentSeals
}
