package shm

import (
	"fmt"
	"os"

	"github.com/edsrzf/mmap-go"

	"github.com/shmkit/shmkit/internal/sys"
)

// What Share says of a segment in its first byte. The name of a named one follows.
const (
	sharedAnonymous = 'a'
	sharedNamed     = 'n'
	sharedReadOnly  = 'r' // in place of the second byte's
	sharedWritable  = 'w'
)

// Share returns what another process needs to have the segment, for [Segment.Adopt]: a file to pass to it, which stays the
// segment's, and some bytes. ended, for objects that have to know when that process has ended, is nil. Package process calls
// it for segments in the arguments of a child.
//
// A segment that can only be read here can only be read there.
func (s *Segment) Share() (f *os.File, data []byte, ended func(), err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mem == nil {
		return nil, nil, nil, fmt.Errorf("share segment %q: %w", s.name, os.ErrClosed)
	}
	access := byte(sharedWritable)
	if s.prot == mmap.RDONLY {
		access = sharedReadOnly
	}
	if s.named {
		return s.file, append([]byte{access, sharedNamed}, s.name...), nil, nil
	}
	return s.file, []byte{access, sharedAnonymous}, nil, nil
}

// Adopt makes s, which is new(Segment), the segment that was shared. f stays the caller's.
func (s *Segment) Adopt(f *os.File, data []byte) error {
	if f == nil || len(data) < 2 {
		return fmt.Errorf("adopt segment: no file, or %d bytes of description: %w", len(data), os.ErrInvalid)
	}
	own, err := sys.Dup(f)
	if err != nil {
		return fmt.Errorf("adopt segment: %w", err)
	}
	if err := s.adopt(own, data[0], data[1], string(data[2:])); err != nil {
		own.Close()
		return err
	}
	return nil
}

func (s *Segment) adopt(f *os.File, access, kind byte, name string) error {
	prot := mmap.RDWR
	switch {
	case access == sharedReadOnly:
		prot = mmap.RDONLY
	case access != sharedWritable:
		return fmt.Errorf("adopt segment: access %q makes no sense: %w", access, os.ErrInvalid)
	}
	switch {
	case kind == sharedAnonymous && name == "":
		return s.attach(f, prot)
	case kind != sharedNamed:
		return fmt.Errorf("adopt segment: kind %q and name %q make no sense: %w", kind, name, os.ErrInvalid)
	}
	// The lock that says that it is held is the file's, however many processes have that open.
	st, err := checkedStatus(f, checkUsable)
	if err == nil {
		err = checkName(name)
	}
	if err == nil {
		err = s.become(f, name, st.Size, prot)
	}
	if err != nil {
		return fmt.Errorf("adopt segment %q: %w", name, err)
	}
	s.named = true
	return nil
}
