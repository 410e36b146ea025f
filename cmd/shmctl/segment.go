package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/shmkit/shmkit/internal/sys"
)

// A segment is memory that is no pool's: a named segment, or what a queue or a lock lies in.
type segment struct {
	name string
	f    *os.File
	size int64
}

func (s *segment) close() { s.f.Close() }

// openSegment opens a file to look at.
func openSegment(path, name string) (*segment, error) {
	f, err := sys.OpenQuick(path)
	if err != nil {
		return nil, err
	}
	seg, err := segmentOf(f, name)
	if err != nil {
		f.Close()
	}
	return seg, err
}

func segmentOf(f *os.File, name string) (*segment, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file: %w", f.Name(), os.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return &segment{name, f, info.Size()}, nil
}

// findSegment returns the segment of that name that is no pool's: one that a process has open, or one in /dev/shm; nil if there is none.
func findSegment(what string) (*segment, error) {
	s, _, err := find([]string{what}, func(s *site) bool { return !s.isPool() })
	switch {
	case err == nil:
		f, err := s.Open()
		if err != nil {
			return nil, err
		}
		return segmentOf(f, s.name())
	case codeOf(err) != exitWrong: // there are several
		return nil, err
	case strings.Contains(what, "/"):
		return nil, nil
	}
	seg, err := openSegment(shmFolder+what, what)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return seg, err
}
