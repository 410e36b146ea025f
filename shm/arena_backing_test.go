package shm_test

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/shmkit/shmkit/shm"
)

// A strictBacking is the memory of a machine that keeps books: what has no page must not be handed out.
type strictBacking struct {
	mem      []byte
	page     int64
	pages    []bool
	keeps    bool // as old kernels do: parts of pages are neither given back nor cleared
	reserves int  // until the next one fails, 0 for never
	punches  int
	dies     int // at which call the process ends, 0 for never
}

// errDied is what a process panics with that ends in the midst of something.
var errDied = errors.New("died")

func (s *strictBacking) mayDie() {
	s.dies--
	if s.dies == 0 {
		panic(errDied)
	}
}

var errPunch = errors.New("cannot punch")

func newStrictBacking(mem []byte, page int64) *strictBacking {
	return &strictBacking{mem: mem, page: page, pages: make([]bool, (int64(len(mem))+page-1)/page)}
}

// Reserve backs all pages that the range touches; half of them if it fails.
func (s *strictBacking) Reserve(off, n int64) error {
	s.mayDie()
	if off < 0 || n < 0 || off+n > int64(len(s.mem)) {
		panic(fmt.Sprintf("reserve %d bytes at %d of %d", n, off, len(s.mem)))
	}
	fails := s.reserves == 1
	s.reserves = max(s.reserves-1, 0)
	if fails {
		n /= 2
	}
	for p := off / s.page; p*s.page < off+n; p++ {
		s.pages[p] = true
	}
	if fails {
		return fmt.Errorf("reserve: %w", shm.ErrNoMemory)
	}
	return nil
}

// Punch takes the pages that lie in the range as a whole.
func (s *strictBacking) Punch(off, n int64) error {
	s.mayDie()
	if off < 0 || n < 0 || off+n > int64(len(s.mem)) {
		panic(fmt.Sprintf("punch %d bytes at %d of %d", n, off, len(s.mem)))
	}
	fails := s.punches == 1
	s.punches = max(s.punches-1, 0)
	if fails {
		return errPunch
	}
	first, end := (off+s.page-1)/s.page, (off+n)/s.page
	for p := first; p < end; p++ {
		s.pages[p] = false
		clear(s.mem[p*s.page : (p+1)*s.page])
	}
	if !s.keeps {
		clear(s.mem[off : off+n])
	}
	return nil
}

// has reports whether all of a range has pages.
func (s *strictBacking) has(off, n int64) bool {
	for p := off / s.page; p*s.page < off+n; p++ {
		if !s.pages[p] {
			return false
		}
	}
	return true
}

// backedFrom is how many bytes from off on have pages.
func (s *strictBacking) backedFrom(off int64) (n int64) {
	for p := off / s.page; p < int64(len(s.pages)); p++ {
		if s.pages[p] {
			n += s.page
		}
	}
	return n
}

// A countedBacking knows, for any number of goroutines, which units of an arena have memory.
type countedBacking struct {
	data, page int64
	units      []atomic.Bool
}

func newCountedBacking(size, page int64) *countedBacking {
	_, _, data := shm.ArenaParts(size, page)
	return &countedBacking{data: data, page: page, units: make([]atomic.Bool, size/shm.UnitBytes)}
}

// set notes it for the units in [from, to), in bytes from the start of the data.
func (c *countedBacking) set(from, to int64, backed bool) error {
	for u := from / shm.UnitBytes; from >= 0 && u < (to+shm.UnitBytes-1)/shm.UnitBytes; u++ {
		c.units[u].Store(backed)
	}
	return nil
}

// Reserve backs all pages that the range touches.
func (c *countedBacking) Reserve(off, n int64) error {
	from, to := off-c.data, off-c.data+n
	return c.set(from/c.page*c.page, (to+c.page-1)/c.page*c.page, true)
}

// Punch takes the pages that lie in the range as a whole.
func (c *countedBacking) Punch(off, n int64) error {
	from, to := off-c.data, off-c.data+n
	return c.set((from+c.page-1)/c.page*c.page, to/c.page*c.page, false)
}

// has reports whether a block has memory.
func (c *countedBacking) has(b shm.Block) bool {
	for u := (b.Off - c.data) / shm.UnitBytes; u*shm.UnitBytes < b.Off-c.data+b.Cap; u++ {
		if !c.units[u].Load() {
			return false
		}
	}
	return true
}
