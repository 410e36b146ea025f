// Package exam looks at structures in shared memory from outside, for package ring's and package semaphore's Inspect: at memory that others change
// meanwhile, and of which anything may be wrong.
//
// # Guarantees
//
// Memory is read, never mapped: a file that is cut off is an error, no fault. Each look is at a private copy, so that what was checked is what is used. The
// copy is made twice: only if both are the same is it asked what must hold of several words together. What is found to be wrong is looked at again, and
// told if it is always there. Nobody is waited for.
package exam

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/shm"
)

const (
	// Most bounds how much of a structure is copied.
	Most = 64 << 20

	looks      = 3
	mostBroken = 64
	mostSeen   = 1024 // parties
)

// An Exam is one look at a structure.
type Exam struct {
	shm.Report
	Mem   []byte // a copy of its first bytes, aligned for words
	Still bool   // nothing has changed while it was copied
}

// Front reads what the structure says of itself that begins at off in r.
func Front(r io.ReaderAt, off int64) (kind layout.Kind, size int64, params [5]uint64, err error) {
	mem, err := read(r, off, layout.HeaderSize)
	if err != nil {
		return 0, 0, params, err
	}
	kind, said, params, err := layout.HeaderOf(mem)
	return kind, int64(min(said, 1<<62)), params, err
}

func read(r io.ReaderAt, off, n int64) ([]byte, error) {
	mem := layout.SliceBytes(make([]uint64, (n+7)/8))[:n]
	if _, err := r.ReadAt(mem, off); err != nil {
		return nil, fmt.Errorf("read %d bytes at %d: %w", n, off, err)
	}
	return mem, nil
}

// Look calls look with a copy of the n bytes of r from off on, at most [Most], and again if it finds something wrong.
func Look(r io.ReaderAt, off, n int64, look func(e *Exam)) (*shm.Report, error) {
	var found *Exam
	for turn := range looks {
		e := new(Exam)
		for range looks {
			var err error
			if e.Mem, err = read(r, off, min(n, Most)); err != nil {
				return nil, err
			}
			again, err := read(r, off, min(n, Most))
			if err != nil {
				return nil, err
			}
			if e.Still = bytes.Equal(e.Mem, again); e.Still {
				break
			}
		}
		look(e)
		if turn > 0 {
			e.Broken = slices.DeleteFunc(e.Broken, func(line string) bool { return !slices.Contains(found.Broken, line) })
		}
		if found = e; len(e.Broken) == 0 {
			break
		}
	}
	return &found.Report, nil
}

// Fact says something about the structure.
func (e *Exam) Fact(name, format string, args ...any) {
	e.Facts = append(e.Facts, shm.Fact{Name: name, Value: fmt.Sprintf(format, args...)})
}

// Unless says that something is wrong, unless it is right.
func (e *Exam) Unless(right bool, format string, args ...any) {
	if !right && len(e.Broken) < mostBroken {
		e.Broken = append(e.Broken, fmt.Sprintf(format, args...))
	}
}

// Party says what a process has to do with the structure.
func (e *Exam) Party(id owner.ID, format string, args ...any) {
	if len(e.Parties) < mostSeen {
		e.Parties = append(e.Parties, shm.Party{Pid: id.Pid(), Alive: id.Alive(), What: fmt.Sprintf(format, args...)})
	}
}

// Waiting says whether somebody may sleep on an eventcount.
func (e *Exam) Waiting(name string, word uint32) {
	if word&1 != 0 { // as package semaphore has it
		e.Fact(name, "somebody may wait")
		return
	}
	e.Fact(name, "nobody waits")
}
