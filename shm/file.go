package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/edsrzf/mmap-go"

	"github.com/shmkit/shmkit/internal/sys"
)

// A File is a regular file whose content is mapped into memory for reading. All
// methods may be called by several goroutines at once.
//
// The mapping is the file: what others write to it shows. Should someone shorten it,
// then reading bytes that it no longer has faults, and the process ends; in a worker
// that ends the worker's task alone. Map files that are replaced as a
// whole (written under another name, then renamed), not cut and written anew.
type File struct {
	name string
	size int64
	file *os.File // open until Close, so that a FileRef leads to it

	// mu is held to read by whoever uses the descriptor's number, so that Close does not
	// give it away under them.
	mu     sync.RWMutex
	closed bool
	mem    mmap.MMap // nil if the file is empty, and once closed
}

// OpenFile maps the file at path. Files that are not regular are refused, without
// waiting for a FIFO's writer or touching a device; so are files that the
// system makes up as they are read, as in /proc. The file, empty or not, keeps a
// descriptor until it is closed, which programs that this process starts do not inherit.
// The caller closes it.
func OpenFile(path string) (*File, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("map file: %w", err)
	}
	file, err := mapWhole(f, path)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("map file %q: %w", path, err)
	}
	return file, nil
}

// openRegular looks before it opens, since opening alone makes some devices act,
// and again afterwards, since the path may lead elsewhere by then.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(path, info.Mode()); err != nil {
		return nil, err
	}
	f, err := sys.OpenQuick(path)
	if err != nil {
		return nil, err
	}
	info, err = f.Stat()
	if err == nil {
		err = checkRegular(path, info.Mode())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkRegular(path string, mode fs.FileMode) error {
	if mode.IsRegular() {
		return nil
	}
	return fmt.Errorf("%q is %s, only regular files can be mapped: %w", path, kindOf(mode), os.ErrInvalid)
}

// kindOf names a file that is not regular.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "a file of mode " + mode.String()
}

// mapWhole maps as many bytes as f has now.
func mapWhole(f *os.File, name string) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 { // so has a file that the system makes up
		if n, _ := f.Read(make([]byte, 1)); n > 0 {
			return nil, fmt.Errorf("it has content but no size: read it instead: %w", os.ErrInvalid)
		}
	}
	return mapFile(f, name, info.Size())
}

// mapFile maps the first size bytes of f, which from then on belongs to the File.
func mapFile(f *os.File, name string, size int64) (*File, error) {
	file := &File{name: name, size: size, file: f}
	if size == 0 {
		return file, nil // a mapping of 0 bytes does not exist
	}
	var err error
	if file.mem, err = mmap.MapRegion(f, int(size), mmap.RDONLY, 0, 0); err != nil {
		return nil, err
	}
	return file, nil
}

// Bytes returns the content. Writing to it faults. It is valid until Close, after
// which using it faults. A call after Close panics.
func (f *File) Bytes() []byte {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		panic(fmt.Sprintf("shm: Bytes of file %q after Close", f.name))
	}
	return f.mem
}

// Size returns the number of bytes that the file had when it was opened, also after
// Close.
func (f *File) Size() int64 { return f.size }

// Close takes the mapping away. Slices and views of it must no longer be used: they
// fault. References to it lead nowhere from then on. A second Close does nothing.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	err := errors.Join(retire(f.mem), f.file.Close())
	f.mem = nil
	if err != nil {
		return fmt.Errorf("close file %q: %w", f.name, err)
	}
	return nil
}
