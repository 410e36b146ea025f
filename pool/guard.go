package pool

import (
	"fmt"
	"os"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// guardKey is the environment variable that turns the guard on: with "1" whatever a process no longer has of a pool's memory
// cannot be touched by it, so that a slice that is used too late ends the process at the very line. Each block
// then takes 64 KiB at least, and each hand-over a system call or two.
const guardKey = "SHMKIT_GUARD"

var guarded = os.Getenv(guardKey) == "1"

// guardUnit is what a block takes at least while the guard is on: whole pages of its own.
const guardUnit = 64 << 10

// Alloc, Free and Give are the arena's, with a guard where it is on.
func (s *store) Alloc(n int64) (b shm.Block, zero bool, err error) {
	if !guarded {
		return s.Arena.Alloc(n)
	}
	b, zero, err = s.Arena.Alloc(max(n, guardUnit))
	if err == nil {
		s.show(b.Off, b.Cap)
	}
	return b, zero, err
}

func (s *store) Free(b shm.Block) bool {
	if guarded {
		s.hide(b.Off, b.Cap)
	}
	return s.Arena.Free(b)
}

func (s *store) Give(b shm.Block, to shm.Holder) (shm.Block, bool) {
	if guarded && to != parentHolder {
		s.hide(b.Off, b.Cap)
	}
	b, ok := s.Arena.Give(b, to)
	if ok && guarded && to == parentHolder {
		s.show(b.Off, b.Cap)
	}
	return b, ok
}

// show lets this process touch a block again, hide does the opposite. Without the guard nothing is hidden.
func (s *store) show(off, n int64) {
	if guarded {
		s.protect(off, n, sys.AccessAll, sys.AccessRead)
	}
}

func (s *store) hide(off, n int64) {
	if guarded {
		s.protect(off, n, sys.AccessNone, sys.AccessNone)
	}
}

func (s *store) protect(off, n int64, access, readOnly sys.Access) {
	page := int64(os.Getpagesize())
	from, to := off&^(page-1), layout.Align(off+n, page)
	s.mu.Lock()
	defer s.mu.Unlock()
	err := sys.Protect(s.mem[from:to], access)
	if err == nil && s.readOnly != nil {
		err = sys.Protect(s.readOnly[from:to], readOnly)
	}
	if err != nil {
		panic(fmt.Sprintf("pool: %s=1: %v", guardKey, err))
	}
}
