package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/shmkit/shmkit/internal/sys"
)

// A FileRef names a [File] of a process to another process of the same user and the same
// pid namespace. It is plain data, can be sent by any means and costs nothing. It is
// good as long as the File is open.
type FileRef struct {
	Pid, Fd  int32  // the process and its descriptor
	Dev, Ino uint64 // the file, to see whether the descriptor is still open on it
	Size     int64  // bytes that are mapped
}

// Ref returns a reference to the file for [OpenRef] in another process. The file has to
// stay open until that has been called; how the caller learns of it is for the program
// to say. The error wraps [os.ErrClosed] after Close, and [ErrTruncated] if the
// file is shorter now than when it was opened.
func (f *File) Ref() (FileRef, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return FileRef{}, fmt.Errorf("refer to file %q: %w", f.name, os.ErrClosed)
	}
	ref, err := f.ref()
	if err != nil {
		return FileRef{}, fmt.Errorf("refer to file: %w", err)
	}
	return ref, nil
}

func (f *File) ref() (FileRef, error) {
	if err := checkLength(f.file, f.name, f.size); err != nil {
		return FileRef{}, err
	}
	dev, ino, err := sys.FileID(f.file)
	if err != nil {
		return FileRef{}, err
	}
	return FileRef{Pid: int32(os.Getpid()), Fd: int32(f.file.Fd()), Dev: dev, Ino: ino, Size: f.size}, nil
}

// checkLength fails if f has fewer than the size bytes that it had once.
func checkLength(f *os.File, name string, size int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < size {
		return fmt.Errorf("file %q had %d bytes when it was opened and has %d now: %w", name, size, info.Size(), ErrTruncated)
	}
	return nil
}

// OpenRef maps the file that another process, or this one, has open as r says: the same
// pages, as many bytes of them, though its path may lead elsewhere or nowhere by now.
// This process must be allowed to read the file. The caller closes it, independently of the other.
//
// The error wraps [os.ErrProcessDone] if there is no such process (any more),
// [os.ErrClosed] if the file was closed there, [os.ErrPermission] if the process or the
// file must not be read, and [ErrTruncated] if the file became shorter than r says.
func OpenRef(r FileRef) (*File, error) {
	if r.Pid <= 0 || r.Fd < 0 || r.Size < 0 {
		return nil, fmt.Errorf("open reference %+v: no File has such a process, descriptor or size: %w", r, os.ErrInvalid)
	}
	f, err := r.open()
	if err != nil {
		return nil, fmt.Errorf("open descriptor %d of process %d: %w", r.Fd, r.Pid, err)
	}
	name := pathOf(f)
	file, err := mapFile(f, name, r.Size)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("map file %q: %w", name, err)
	}
	return file, nil
}

// open opens the file that r means and no other. It looks at it through a descriptor that
// does nothing else, and only then opens that: the number may be another file's by now,
// perhaps of a device that acts when it is opened.
func (r FileRef) open() (*os.File, error) {
	look, err := sys.OpenPath(fmt.Sprintf("/proc/%d/fd/%d", r.Pid, r.Fd))
	if err != nil {
		return nil, r.explain(err)
	}
	defer look.Close()
	dev, ino, err := sys.FileID(look)
	if err != nil {
		return nil, err
	}
	if dev != r.Dev || ino != r.Ino {
		return nil, r.closedMeanwhile()
	}
	info, err := look.Stat()
	if err == nil {
		err = checkRegular(pathOf(look), info.Mode())
	}
	if err == nil {
		err = checkLength(look, pathOf(look), r.Size)
	}
	if err != nil {
		return nil, err
	}
	return sys.Reopen(look)
}

// explain says what it means that a descriptor could not be opened.
func (r FileRef) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this process may not read what that one has open; both must be of the same user: %w", err)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", r.Pid)); err != nil {
		return fmt.Errorf("there is no such process: %w", os.ErrProcessDone)
	}
	return r.closedMeanwhile()
}

func (r FileRef) closedMeanwhile() error {
	return fmt.Errorf("the file was closed in process %d meanwhile: %w", r.Pid, os.ErrClosed)
}

// pathOf returns where f is now, or, where there is no telling, what it is called here.
func pathOf(f *os.File) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return f.Name()
	}
	return path
}
