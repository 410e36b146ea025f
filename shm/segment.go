package shm

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unicode"

	"github.com/edsrzf/mmap-go"

	"github.com/shmkit/shmkit/internal/sys"
)

// prefix is how the names of all segments begin where others can see them.
const prefix = "shmkit:"

// maxName is what the kernel leaves for a name behind prefix, in bytes.
const maxName = 249 - len(prefix)

// A Segment is memory that several processes can map, made by [New] in one of them
// and attached to with [Attach] or [AttachReadOnly] in others; or, with a name by which unrelated processes find
// it, made by [Create] and opened by [Open] or [OpenReadOnly]. All methods may be
// called by several goroutines at once.
type Segment struct {
	name     string
	named    bool // it is in namedDir, and file has a shared lock on it
	size     int64
	pageSize int64
	file     *os.File
	prot     int // of mem

	// mu is held to read by whoever uses a mapping's existence or the descriptor's
	// number, so that Close does not give either away under them.
	mu       sync.RWMutex
	mem      mmap.MMap // nil once closed
	readOnly mmap.MMap // nil until asked for
	advised  bool      // by AdviseHuge; mappings made later are too
}

// New makes a segment of size bytes, all zero and none of them backed by memory yet.
// The name is for people: it need not be unique, and shows in /proc/PID/fd as
// "/memfd:shmkit:NAME". The caller closes the segment.
func New(name string, size int64) (*Segment, error) {
	return create(name, size, checkNew, sys.Memfd)
}

// create makes a segment of what check lets pass, in a file that memfd makes.
func create(name string, size int64, check func(string, int64) error, memfd func(string, int64) (*os.File, error)) (*Segment, error) {
	if err := check(name, size); err != nil {
		return nil, fmt.Errorf("create segment %q: %w", name, err)
	}
	f, err := memfd(prefix+name, size)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	s, err := mapSegment(f, name, size, mmap.RDWR)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("create segment: %w", err)
	}
	return s, nil
}

func checkNew(name string, size int64) error {
	switch {
	case size <= 0:
		return fmt.Errorf("size is %d, it must be positive: %w", size, os.ErrInvalid)
	case len(name) > maxName:
		return fmt.Errorf("name has %d bytes, at most %d are possible: %w", len(name), maxName, os.ErrInvalid)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("name has control characters: %w", os.ErrInvalid)
	}
	return nil
}

// Attach maps the segment that f, received from the process that made it, is open
// on. It refuses what could change its size later: everything but a memory file
// sealed against shrinking and growing.
//
// From then on f belongs to the segment, is closed with it, and no longer passes to
// programs that this process starts by itself. If Attach fails, f stays the caller's.
func Attach(f *os.File) (*Segment, error) { return attach(f, mmap.RDWR) }

// AttachReadOnly is Attach for a process that only reads: writing to [Segment.Bytes]
// faults, and f may be open for reading only.
func AttachReadOnly(f *os.File) (*Segment, error) { return attach(f, mmap.RDONLY) }

func attach(f *os.File, prot int) (*Segment, error) {
	s := new(Segment)
	if err := s.attach(f, prot); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Segment) attach(f *os.File, prot int) error {
	if f == nil {
		return fmt.Errorf("attach segment: no file: %w", os.ErrInvalid)
	}
	size, err := checkMemory(f)
	if err != nil {
		return fmt.Errorf("attach segment %q: %w", f.Name(), err)
	}
	if err := sys.CloseOnExec(f); err != nil {
		return fmt.Errorf("attach segment %q: %w", f.Name(), err)
	}
	if err := s.become(f, nameOf(f), size, prot); err != nil {
		return fmt.Errorf("attach segment: %w", err)
	}
	return nil
}

// checkMemory returns the size of the memory file f, which can no longer change.
func checkMemory(f *os.File) (size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("it is %s, not a memory file: %w", kindOf(info.Mode()), os.ErrInvalid)
	}
	if err := sys.CheckSeals(f); err != nil {
		return 0, err
	}
	// Only now is the size final: before the seals were seen it could change.
	if info, err = f.Stat(); err != nil {
		return 0, err
	}
	if info.Size() == 0 {
		return 0, fmt.Errorf("its size is 0: %w", os.ErrInvalid)
	}
	return info.Size(), nil
}

// nameOf finds the name that a segment was given by its maker. Where there is no
// /proc, or the memory file is not from New, it is what f is called here.
func nameOf(f *os.File) string {
	name, ok := strings.CutPrefix(pathOf(f), "/memfd:"+prefix)
	if !ok {
		return f.Name()
	}
	return strings.TrimSuffix(name, " (deleted)")
}

func mapSegment(f *os.File, name string, size int64, prot int) (*Segment, error) {
	s := new(Segment)
	if err := s.become(f, name, size, prot); err != nil {
		return nil, err
	}
	return s, nil
}

// become makes s, which is new, the segment that f is open on.
func (s *Segment) become(f *os.File, name string, size int64, prot int) error {
	pageSize, err := sys.PageSize(f)
	if err != nil {
		return fmt.Errorf("map %q: %w", name, err)
	}
	s.name, s.size, s.pageSize, s.file, s.prot = name, size, pageSize, f, prot
	s.mem, err = s.mapMemory(prot)
	return err
}

func (s *Segment) mapMemory(prot int) (m mmap.MMap, err error) {
	if s.isHuge() {
		m, err = sys.MapHuge(s.file, s.size, prot == mmap.RDWR)
	} else {
		m, err = mmap.MapRegion(s.file, int(s.size), prot, 0, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of %q: %w", s.size, s.name, err)
	}
	err = sys.KeepPrivate(m)
	if err == nil && s.advised {
		err = sys.AdviseHuge(m)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map %q: %w", s.name, err), m.Unmap())
	}
	return m, nil
}

// Bytes returns the memory: the same for every process that has the segment. It is
// valid until Close, after which using it faults. A call after Close panics.
func (s *Segment) Bytes() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mem == nil {
		panic(fmt.Sprintf("shm: Bytes of segment %q after Close", s.name))
	}
	return s.mem
}

// ReadOnly returns the same memory as Bytes at other addresses, where writing
// faults: for code that must not write. It shows what is written through Bytes,
// is made at the first call, and is valid until Close.
func (s *Segment) ReadOnly() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mem == nil {
		return nil, fmt.Errorf("map segment %q again: %w", s.name, os.ErrClosed)
	}
	if s.readOnly == nil {
		m, err := s.mapMemory(mmap.RDONLY)
		if err != nil {
			return nil, fmt.Errorf("map segment again: %w", err)
		}
		s.readOnly = m
	}
	return s.readOnly, nil
}

// File returns the descriptor to pass to a child process (os/exec's ExtraFiles, for
// example), which gives it to [Attach]. It belongs to the segment: do not close it.
//
// Attach refuses a segment with a name, which is not sealed: a child opens that by its name. One that is passed
// the descriptor nevertheless holds the segment too, until it closes it or ends.
func (s *Segment) File() *os.File { return s.file }

// Size returns the number of bytes, also after Close.
func (s *Segment) Size() int64 { return s.size }

// PageSize returns the number of bytes that are backed, and given back, together: that
// of a huge page for a segment made by [NewHuge], else that of the system's pages.
func (s *Segment) PageSize() int64 { return s.pageSize }

// Name returns the name given to New or Create, in processes that attached or opened it too.
func (s *Segment) Name() string { return s.name }

// Close takes the memory away from this process; others keep theirs, and the memory is
// freed when the last one has closed it or ended, and if it has a name, not before a [Remove]. Slices and views of it must no
// longer be used: they fault. A second Close does nothing.
func (s *Segment) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mem == nil {
		return nil
	}
	err := errors.Join(retire(s.mem), retire(s.readOnly), s.file.Close())
	s.mem, s.readOnly = nil, nil
	if err != nil {
		return fmt.Errorf("close segment %q: %w", s.name, err)
	}
	return nil
}
