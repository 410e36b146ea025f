//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// HasData reports whether something may ever have been written into n bytes of f from off on. It is false only if not: then they are zero. It
// moves f's offset.
func HasData(f *os.File, off, n int64) bool {
	at, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if err != nil {
		return !errors.Is(err, unix.ENXIO)
	}
	return at < off+n
}
