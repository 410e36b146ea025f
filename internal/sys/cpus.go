package sys

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// maxCPUs bounds the numbers of CPUs that the sets of the kernel's interface hold.
const maxCPUs = 1024

// checkCPUs returns an error for the first CPU that the machine does not have. Where the machine's
// cannot be read, only the bounds are checked.
func checkCPUs(root fs.FS, cpus []int) error {
	online, _ := fs.ReadFile(root, "sys/devices/system/cpu/online")
	list := strings.TrimSpace(string(online))
	for _, cpu := range cpus {
		if cpu < 0 || cpu >= maxCPUs {
			return fmt.Errorf("CPU %d: it must be between 0 and %d: %w", cpu, maxCPUs-1, os.ErrInvalid)
		}
		if list != "" && !listsCPU(list, cpu) {
			return fmt.Errorf("CPU %d does not exist or is offline: online are %s: %w", cpu, list, os.ErrInvalid)
		}
	}
	return nil
}

// listsCPU reports whether cpu is in a list as the kernel writes it: 0-3,8,10-11.
func listsCPU(list string, cpu int) bool {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 == nil && err2 == nil && from <= cpu && cpu <= to {
			return true
		}
	}
	return false
}
