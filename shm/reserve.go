package shm

import (
	"fmt"
	"os"

	"github.com/shmkit/shmkit/internal/sys"
)

// memoryFree, fileRoom and hugePagesFree are asked before memory is. Tests put a small machine in
// their place: one that took all memory of the real one would end other programs
// if the code were wrong.
var (
	memoryFree    = sys.MemoryFree
	fileRoom      = sys.FileRoom
	hugePagesFree = sys.HugePagesFree
)

// Reserve backs n bytes from off with memory, so that touching them cannot fail later.
// What they hold stays; bytes that were backed before count as asked for all the same.
//
// If the machine or the control group has less than n bytes left, it fails with an
// error that wraps [ErrNoMemory], and allocates nothing: going on could wake
// the kernel's out-of-memory killer. If others take the memory meanwhile, it fails in
// the same way, and what it has backed so far stays. For a segment made by [NewHuge] it
// is the machine's free huge pages that count, and as many are taken as n bytes from off lie in.
// For one with a name, what is left in /dev/shm counts too; [OpenReadOnly]'s cannot be reserved.
//
// It takes as long as the kernel needs to clear n bytes; Close waits for it.
func (s *Segment) Reserve(off, n int64) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.reserve(off, n); err != nil {
		return fmt.Errorf("reserve %d bytes at %d of segment %q: %w", n, off, s.name, err)
	}
	return nil
}

func (s *Segment) reserve(off, n int64) error {
	if err := s.checkRange(off, n); err != nil {
		return err
	}
	if err := s.checkFree(off, n); err != nil {
		return err
	}
	if s.advised {
		s.populate(off, n)
	}
	return explainMemory(sys.Allocate(s.file, off, n))
}

// explainMemory says it of an error if memory is what lacks.
func explainMemory(err error) error {
	if sys.OutOfMemory(err) {
		return fmt.Errorf("%w: %w", ErrNoMemory, err)
	}
	return err
}

// checkFree is called with a range within the segment.
func (s *Segment) checkFree(off, n int64) error {
	if s.isHuge() {
		return checkHugeFree(s.pages(off, n), s.pageSize)
	}
	if s.named {
		if err := checkRoom(s.file, n); err != nil {
			return err
		}
	}
	return checkMemoryFree(n)
}

// checkRoom fails if n bytes of f, a file in namedDir, cannot have memory: whoever tried would take what is left there from all
// others before failing, and they end when they touch memory that they have not reserved.
func checkRoom(f *os.File, n int64) error {
	room, err := fileRoom(f)
	if err == nil && n > room {
		err = fmt.Errorf("%s has room for only %d bytes of it: %w", namedDir, room, ErrNoMemory)
	}
	return err
}

func checkMemoryFree(n int64) error {
	if free := memoryFree(n); n > free {
		return fmt.Errorf("only %d bytes are free: %w", free, ErrNoMemory)
	}
	return nil
}

// pages returns in how many pages n bytes from off lie.
func (s *Segment) pages(off, n int64) int64 {
	if n == 0 {
		return 0
	}
	return (off+n-1)/s.pageSize - off/s.pageSize + 1
}

// Punch gives the memory behind n bytes from off back to the system, in all processes
// that have the segment. The bytes are zero afterwards; whole pages among them are
// backed again when they are touched or reserved.
//
// Of a segment made by [NewHuge] only whole huge pages within the range are given back.
// The rest of the range stays backed and is set to zero, which old kernels leave out: there
// a range of whole huge pages alone is sure to be zero.
// Nothing outside the range changes.
func (s *Segment) Punch(off, n int64) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err := s.checkRange(off, n)
	if err == nil && n > 0 { // the kernel refuses to punch nothing
		err = sys.Punch(s.file, off, n)
	}
	if err != nil {
		return fmt.Errorf("punch %d bytes at %d of segment %q: %w", n, off, s.name, err)
	}
	return nil
}

// checkRange is called with mu held.
func (s *Segment) checkRange(off, n int64) error {
	if s.mem == nil {
		return os.ErrClosed
	}
	if off < 0 || n < 0 || off > s.size || n > s.size-off {
		return fmt.Errorf("not within its %d bytes: %w", s.size, os.ErrInvalid)
	}
	return nil
}
