package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
)

// The functions here read what the machine says about huge pages from the files of a
// file system, so that tests can hand them any machine.

// hugePageSize returns the size, in bytes, of the huge pages that the machine uses
// where no size is asked for.
func hugePageSize(root fs.FS) (int64, error) {
	kb, ok := field(root, "proc/meminfo", "Hugepagesize:")
	if !ok || kb <= 0 {
		return 0, fmt.Errorf("this system has no huge pages: /proc/meminfo names no Hugepagesize: %w", errors.ErrUnsupported)
	}
	return kb * 1024, nil
}

// hugePool is the folder of all huge pages of size bytes.
func hugePool(size int64) string {
	return fmt.Sprintf("sys/kernel/mm/hugepages/hugepages-%dkB/", size/1024)
}

// HugePagesFile names the file that says how many huge pages of size bytes the machine
// keeps, and that changes it when it is written to.
func HugePagesFile(size int64) string { return "/" + hugePool(size) + "nr_hugepages" }

// hugePagesFree returns how many huge pages of size bytes can still be used: those that
// are free and not promised to a mapping, and those that the kernel may make when asked.
// Where the numbers cannot be read they do not limit.
func hugePagesFree(root fs.FS, size int64) int64 {
	pool := hugePool(size)
	free, ok := number(root, pool+"free_hugepages")
	if !ok {
		return math.MaxInt64
	}
	promised, _ := number(root, pool+"resv_hugepages")
	allowed, _ := number(root, pool+"nr_overcommit_hugepages")
	made, _ := number(root, pool+"surplus_hugepages")
	return max(free-promised, 0) + max(allowed-made, 0)
}

const shmemEnabled = "sys/kernel/mm/transparent_hugepage/shmem_enabled"

// checkShmemHuge returns an error that says what to do if the kernel would not listen
// to [AdviseHuge].
func checkShmemHuge(root fs.FS) error {
	text, err := fs.ReadFile(root, shmemEnabled)
	if err != nil {
		return fmt.Errorf("this system has no huge pages for shared memory (%w): %w", err, errors.ErrUnsupported)
	}
	// All settings are listed, the one that is on in brackets.
	_, setting, _ := strings.Cut(string(text), "[")
	setting, _, _ = strings.Cut(setting, "]")
	if setting == "never" || setting == "deny" {
		return fmt.Errorf(`/%s says %q: write "advise" to it: %w`, shmemEnabled, setting, errors.ErrUnsupported)
	}
	return nil
}
