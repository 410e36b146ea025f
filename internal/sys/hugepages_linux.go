//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// HugePageSize returns the size, in bytes, of the pages of a [MemfdHuge].
func HugePageSize() (int64, error) { return hugePageSize(os.DirFS("/")) }

// HugePagesFree returns how many huge pages of size bytes the machine still has. It is
// a look, not a promise: others may be faster.
func HugePagesFree(size int64) int64 { return hugePagesFree(os.DirFS("/"), size) }

// CheckShmemHuge returns an error that says what to do if the kernel would not listen
// to [AdviseHuge].
func CheckShmemHuge() error { return checkShmemHuge(os.DirFS("/")) }

// MemfdHuge is [Memfd] with huge pages, of which size is a multiple. It takes none yet.
func MemfdHuge(name string, size int64) (*os.File, error) { return memfd(name, size, unix.MFD_HUGETLB) }

// PageSize returns the size, in bytes, of the pages that the memory file f consists of.
// The block size that stat gives will not do: it is that of a huge page too
// where the kernel may use some for an ordinary memory file.
func PageSize(f *os.File) (int64, error) {
	var st unix.Statfs_t
	for {
		err := unix.Fstatfs(int(f.Fd()), &st)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("read page size: %w", err)
		case st.Type == unix.HUGETLBFS_MAGIC:
			return st.Bsize, nil
		}
		return int64(os.Getpagesize()), nil
	}
}

// MapHuge maps a memory file of huge pages. It takes no page: without NORESERVE the
// kernel sets one aside for every page of the file, or refuses. It is unmapped like
// every mapping of mmap-go, which has no such flag.
func MapHuge(f *os.File, size int64, writable bool) ([]byte, error) {
	prot := unix.PROT_READ
	if writable {
		prot |= unix.PROT_WRITE
	}
	return unix.Mmap(int(f.Fd()), 0, int(size), prot, unix.MAP_SHARED|unix.MAP_NORESERVE)
}

// AdviseHuge asks for huge pages where a mapping of an ordinary memory file is
// touched from now on.
func AdviseHuge(mapping []byte) error {
	if err := unix.Madvise(mapping, unix.MADV_HUGEPAGE); err != nil {
		return fmt.Errorf("madvise HUGEPAGE: %w", err)
	}
	return nil
}

// Populate backs part of a writable mapping as if every page of it were written to,
// but fails where that would fault. The part begins where a page does.
func Populate(part []byte) error {
	if err := unix.Madvise(part, unix.MADV_POPULATE_WRITE); err != nil {
		return fmt.Errorf("madvise POPULATE_WRITE: %w", err)
	}
	return nil
}
