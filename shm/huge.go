package shm

import (
	"errors"
	"fmt"
	"os"

	"github.com/shmkit/shmkit/internal/sys"
)

// checkShmemHuge is asked before huge pages are. Tests put other machines in its place.
var checkShmemHuge = sys.CheckShmemHuge

// HugePageSize returns the size, in bytes, of the pages that a segment made by [NewHuge]
// has. The error wraps [errors.ErrUnsupported] if the system has none.
func HugePageSize() (int64, error) {
	size, err := sys.HugePageSize()
	if err != nil {
		return 0, fmt.Errorf("find size of huge pages: %w", err)
	}
	return size, nil
}

// NewHuge is [New] for a segment of huge pages, which make access to much memory faster.
// They come out of a pool that the machine's administrator sets aside, never out of
// other memory. size is a multiple of [HugePageSize].
//
// The segment takes no page yet, and may be larger than the pool. [Segment.Reserve] takes pages
// and turns a shortage into an error. Touching memory that is not backed, when the
// pool is empty, ends the process: so reserve before you touch.
//
// If no huge page is left at all, NewHuge fails with an error that wraps
// [ErrNoMemory] and says which file to write to.
func NewHuge(name string, size int64) (*Segment, error) {
	return create(name, size, checkNewHuge, sys.MemfdHuge)
}

func checkNewHuge(name string, size int64) error {
	if err := checkNew(name, size); err != nil {
		return err
	}
	pageSize, err := sys.HugePageSize()
	if err != nil {
		return err
	}
	if size%pageSize != 0 {
		return fmt.Errorf("size is %d, it must be a multiple of %d, the size of a huge page: %w", size, pageSize, os.ErrInvalid)
	}
	if hugePagesFree(pageSize) == 0 {
		return hugeShortage(0, size/pageSize, pageSize)
	}
	return nil
}

// checkHugeFree fails if the machine has fewer than need pages left.
func checkHugeFree(need, pageSize int64) error {
	if free := hugePagesFree(pageSize); need > free {
		return hugeShortage(free, need, pageSize)
	}
	return nil
}

func hugeShortage(free, need, pageSize int64) error {
	return fmt.Errorf("the machine has %d free huge pages of %d bytes, %d are needed: raise %s: %w",
		free, pageSize, need, sys.HugePagesFile(pageSize), ErrNoMemory)
}

// isHuge reports whether the segment is one of huge pages.
func (s *Segment) isHuge() bool { return s.pageSize != int64(os.Getpagesize()) }

// AdviseHuge asks the kernel to back the segment's memory with huge pages where it can,
// out of the memory that all programs share: memory that this process touches or
// reserves from now on. What is backed already stays as it is, and memory
// that is backed goes beyond what was asked for, up to the bounds of a huge page. Other
// processes ask for themselves.
//
// The error wraps [errors.ErrUnsupported] and says which file to write to if the system
// does not allow it. The kernel gives no answer beyond that: where no huge page is to
// be had, ordinary ones serve. A segment made by [NewHuge] has no need of the advice,
// and ignores it. For one with a name it is how /dev/shm is mounted (huge=advise) that counts.
func (s *Segment) AdviseHuge() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.adviseHuge(); err != nil {
		return fmt.Errorf("advise huge pages for segment %q: %w", s.name, err)
	}
	return nil
}

func (s *Segment) adviseHuge() error {
	switch {
	case s.mem == nil:
		return os.ErrClosed
	case s.isHuge():
		return nil
	}
	if err := checkShmemHuge(); err != nil {
		return err
	}
	err := sys.AdviseHuge(s.mem)
	if s.readOnly != nil {
		err = errors.Join(err, sys.AdviseHuge(s.readOnly))
	}
	s.advised = err == nil
	return err
}

// populate backs n bytes from off through the mapping, since the kernel remembers the
// advice with that and not with the file: what is allocated in the file alone gets
// ordinary pages. It fails where memory is short, where the mapping is read-only, and
// before Linux 5.14; then the allocation that follows is what counts. It is called with
// mu held.
func (s *Segment) populate(off, n int64) {
	_ = sys.Populate(s.mem[off-off%s.pageSize : off+n])
}
