package shm

import (
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

	mu     sync.RWMutex // held to write by Close
	closed bool
	mem    mmap.MMap // nil if the file is empty, and once closed
}

// OpenFile maps the file at path. Files that are not regular are refused, without
// waiting for a FIFO's writer or touching a device; so are files that the
// system makes up as they are read, as in /proc. The file costs no descriptor while it
// is open. The caller closes it.
func OpenFile(path string) (*File, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("map file: %w", err)
	}
	defer f.Close() // the mapping keeps the file
	file, err := mapFile(f, path)
	if err != nil {
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

func mapFile(f *os.File, path string) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	file := &File{name: path, size: info.Size()}
	if file.size == 0 {
		// A mapping of 0 bytes does not exist, and a made-up file has size 0 too.
		if n, _ := f.Read(make([]byte, 1)); n > 0 {
			return nil, fmt.Errorf("it has content but no size: read it instead: %w", os.ErrInvalid)
		}
		return file, nil
	}
	file.mem, err = mmap.MapRegion(f, int(file.size), mmap.RDONLY, 0, 0)
	return file, err
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
// fault. A second Close does nothing.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	err := retire(f.mem)
	f.mem = nil
	if err != nil {
		return fmt.Errorf("close file %q: %w", f.name, err)
	}
	return nil
}
