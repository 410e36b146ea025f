//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Memfd makes an anonymous memory file of size bytes, none of them backed yet. It
// is close-on-exec, not executable, readable and writable by its owner alone, and
// sealed against shrinking, growing and further seals: no process that has it
// can turn another's access into a SIGBUS.
//
// A write seal is left out: workers that start later must be able to map it.
func Memfd(name string, size int64) (*os.File, error) { return memfd(name, size, 0) }

func memfd(name string, size int64, kind int) (*os.File, error) {
	fd, err := memfdCreate(name, kind|unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("create memory file %q: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := prepare(f, size); err != nil {
		f.Close()
		return nil, fmt.Errorf("create memory file %q of %d bytes: %w", name, size, err)
	}
	return f, nil
}

func memfdCreate(name string, flags int) (int, error) {
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		return unix.MemfdCreate(name, flags)
	}
	return fd, err
}

func prepare(f *os.File, size int64) error {
	if err := f.Chmod(0o600); err != nil { // a memfd is born 0777 or 0666
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	return err
}

// Allocate backs n bytes of f from off with memory, in steps, so that a signal
// (the Go scheduler sends some) interrupts little and the work already done stays.
func Allocate(f *os.File, off, n int64) error {
	const step = 64 << 20
	for n > 0 {
		part := min(n, step)
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, part)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("allocate %d bytes of shared memory: %w", part, err)
		}
		off, n = off+part, n-part
	}
	return nil
}

// Punch gives the memory behind n bytes of f from off back to the system; they
// read as zeros afterwards.
func Punch(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE, off, n)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// KeepPrivate keeps a mapping out of core dumps and out of children that are
// forked (by C code: Go itself never runs in one).
func KeepPrivate(mapping []byte) error {
	if err := unix.Madvise(mapping, unix.MADV_DONTFORK); err != nil {
		return fmt.Errorf("madvise DONTFORK: %w", err)
	}
	if err := unix.Madvise(mapping, unix.MADV_DONTDUMP); err != nil {
		return fmt.Errorf("madvise DONTDUMP: %w", err)
	}
	return nil
}
