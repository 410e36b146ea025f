//go:build linux && (amd64 || arm64)

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// MemoryFree returns how many bytes the machine and this process's control group
// still have for shared memory, or fewer that are at least enough. It is a look, not a promise: others may
// be faster.
func MemoryFree(enough int64) int64 { return memoryFree(os.DirFS("/"), enough) }

// MemoryTotal returns the memory of the machine or of this process's control
// group, whichever is less, in bytes.
func MemoryTotal() int64 { return memoryTotal(os.DirFS("/")) }

// CPUs returns how many CPUs this process may really use: its affinity, limited by
// its control group's quota, at least 1.
func CPUs() int {
	var set unix.CPUSet
	n := 1
	if unix.SchedGetaffinity(0, &set) == nil {
		n = set.Count()
	}
	return cpuQuota(os.DirFS("/"), n)
}

// Yield lets other threads run on this processor, if there are any.
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
