package shm

import (
	"sync"

	"github.com/edsrzf/mmap-go"

	"github.com/shmkit/shmkit/internal/sys"
)

// How many closed mappings keep their addresses at most, and how many bytes of
// addresses: a late use of one faults, and 1 TiB is less than a hundredth of what
// a process has. It is address space only, without memory behind it.
const (
	maxRetired      = 1024
	maxRetiredBytes = 1 << 40
)

// retired holds the closed mappings, oldest first.
var retired struct {
	sync.Mutex
	mappings []mmap.MMap
	bytes    int
}

// retire lets go of the memory behind m, which may be nil, and keeps its addresses
// from being used for anything else for a while.
func retire(m mmap.MMap) error {
	if m == nil {
		return nil
	}
	if err := sys.Retire(m); err != nil {
		return m.Unmap() // the memory is what counts
	}
	retired.Lock()
	defer retired.Unlock()
	retired.mappings = append(retired.mappings, m)
	retired.bytes += len(m)
	for len(retired.mappings) > maxRetired || retired.bytes > maxRetiredBytes {
		oldest := retired.mappings[0]
		retired.mappings[0] = nil
		retired.mappings = retired.mappings[1:]
		retired.bytes -= len(oldest)
		if err := oldest.Unmap(); err != nil {
			return err
		}
	}
	return nil
}
