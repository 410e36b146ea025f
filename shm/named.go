package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"github.com/edsrzf/mmap-go"

	"github.com/shmkit/shmkit/internal/sys"
)

const (
	// namedDir is where shm_open(3) of the C library, and with it Python, has all shared memory with names.
	namedDir = "/dev/shm"
	// maxNamed is NAME_MAX, in bytes.
	maxNamed = 255
)

// Create makes a segment of size bytes, all zero, which every process of the same user can [Open] by its name: it is the file
// /dev/shm/NAME, and so the same as C's shm_open("/NAME") and Python's SharedMemory(name="NAME"). It stays until [Remove], after the last
// process that has it too. The caller closes it.
//
// The error wraps [fs.ErrExist] if the name is taken: of several processes that create it at the same time one succeeds. It wraps
// [ErrNoMemory] if memory or room in /dev/shm is short. The segment appears complete, with its size and all of its memory
// reserved, or not at all: a process that dies half-way leaves nothing. Create takes as long as the kernel needs to
// clear size bytes.
//
// A name has 1 to 255 bytes, no slash and no control characters, and is neither "." nor "..". The error for another one, and
// for a size that is not positive, wraps [os.ErrInvalid].
//
// The file cannot be sealed. See the package's caveats.
func Create(name string, size int64) (*Segment, error) {
	s, err := createNamed(name, size)
	if err != nil {
		return nil, fmt.Errorf("create segment %q: %w", name, err)
	}
	return s, nil
}

func createNamed(name string, size int64) (*Segment, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if size <= 0 {
		return nil, fmt.Errorf("size is %d, it must be positive: %w", size, os.ErrInvalid)
	}
	path := namedPath(name)
	// Link has the last word. Who looks before does not have the kernel clear memory in vain.
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	f, err := sys.Unnamed(namedDir, path)
	if err != nil {
		return nil, explainMemory(err)
	}
	s, err := completeNamed(f, name, size)
	if err != nil {
		f.Close()
		return nil, err
	}
	// Nothing that can fail comes after this: from now on others have it.
	if err := sys.Link(f, path); err != nil {
		return nil, errors.Join(explainMemory(err), s.Close())
	}
	return s, nil
}

// completeNamed makes f, which nobody else can see yet, all that a segment is. It is held from the first moment on in which it has a name.
func completeNamed(f *os.File, name string, size int64) (*Segment, error) {
	if err := checkRoom(f, size); err != nil {
		return nil, err
	}
	if err := checkMemoryFree(size); err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	if err := sys.Allocate(f, 0, size); err != nil {
		return nil, explainMemory(err)
	}
	if err := sys.LockShared(f); err != nil {
		return nil, err
	}
	return mapNamed(f, name, size, mmap.RDWR)
}

func mapNamed(f *os.File, name string, size int64, prot int) (*Segment, error) {
	s, err := mapSegment(f, name, size, prot)
	if err != nil {
		return nil, err
	}
	s.named = true
	return s, nil
}

// Open maps the segment that a process of the same user has made under that name, with [Create] or with any other program. It
// refuses what that user alone cannot have made or cannot rely on, without touching it. The error wraps
//
//   - [fs.ErrNotExist] if nothing has the name;
//   - [os.ErrInvalid] if it is no regular file but a symbolic link, a pipe or anything else, and for a name that [Create] refuses;
//   - [fs.ErrPermission] if it belongs to another user, even if this process is root's, or if its group or everybody may write to it;
//   - [ErrEmpty] if it has no bytes (yet).
//
// The segment has as many bytes as the file has now. Those of another program's may have no memory yet, which
// [Segment.Reserve] changes. The caller closes the segment.
func Open(name string) (*Segment, error) { return openNamed(name, mmap.RDWR) }

// OpenReadOnly is [Open] for a process that only reads: writing to [Segment.Bytes] faults.
func OpenReadOnly(name string) (*Segment, error) { return openNamed(name, mmap.RDONLY) }

func openNamed(name string, prot int) (*Segment, error) {
	reopen := sys.Reopen
	if prot == mmap.RDWR {
		reopen = sys.ReopenWritable
	}
	f, st, err := openLocked(name, checkUsable, reopen, sys.LockShared)
	if err != nil {
		return nil, fmt.Errorf("open segment %q: %w", name, err)
	}
	s, err := mapNamed(f, name, st.Size, prot)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return s, nil
}

func namedPath(name string) string { return namedDir + "/" + name }

// checkName lets names pass that are those of one file in namedDir and that can be shown in one line.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the name is empty: %w", os.ErrInvalid)
	case len(name) > maxNamed:
		return fmt.Errorf("name has %d bytes, at most %d are possible: %w", len(name), maxNamed, os.ErrInvalid)
	case strings.LastIndexByte(name, '/') == 0 && len(name) > 1:
		return fmt.Errorf("name begins with a slash, which C's shm_open alone wants: use %q: %w", name[1:], os.ErrInvalid)
	case strings.Contains(name, "/"):
		return fmt.Errorf("name has a slash, there are no folders of segments: %w", os.ErrInvalid)
	case name == "." || name == "..":
		return fmt.Errorf("it is the name of a folder: %w", os.ErrInvalid)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("name has control characters: %w", os.ErrInvalid)
	}
	return nil
}
