//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Unnamed makes a file in dir that has no name there yet and is gone with its last descriptor unless [Link] gives it one. It is
// close-on-exec, and readable and writable by its owner alone. It is called name in what is said about it.
func Unnamed(dir, name string) (*os.File, error) {
	fd, err := open(dir, unix.O_TMPFILE|unix.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("create file in %s: %w", dir, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := f.Chmod(0o600); err != nil { // whatever the umask and the folder's ACL have made of it
		f.Close()
		return nil, fmt.Errorf("create file in %s: %w", dir, err)
	}
	return f, nil
}

// Link gives the file that [Unnamed] has made a name, in one step. The error wraps [fs.ErrExist] if there is something of that name.
func Link(f *os.File, path string) error {
	// By the way of /proc, since naming a descriptor itself takes a privilege before Linux 6.10.
	err := unix.Linkat(unix.AT_FDCWD, descriptorPath(f), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	return nil
}

// Unlink takes a name away from a file that is no directory.
func Unlink(path string) error {
	for {
		err := unix.Unlink(path)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("unlink %s: %w", path, err)
		}
		return nil
	}
}

// NamesIn returns the names of all that is in dir, sorted.
func NamesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// OpenPathItself is [OpenPath] for what has that very path: a symbolic link is not followed but can be looked at.
func OpenPathItself(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

// ReopenWritable is [Reopen] for reading and writing.
func ReopenWritable(f *os.File) (*os.File, error) {
	return os.OpenFile(descriptorPath(f), os.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

func descriptorPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// StatusOfFile says what f is now.
func StatusOfFile(f *os.File) (FileStatus, error) {
	info, err := f.Stat()
	if err != nil {
		return FileStatus{}, err
	}
	st := info.Sys().(*syscall.Stat_t) // what package os gives on this system
	return FileStatus{Mode: info.Mode(), Size: info.Size(), Owner: int(st.Uid), Names: uint64(st.Nlink)}, nil
}

// FileRoom returns how many bytes of the file f can have memory at most, those that have it counted: the others must fit in what is
// left of its file system. It is a look, not a promise.
func FileRoom(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var st unix.Statfs_t
	for {
		err := unix.Fstatfs(int(f.Fd()), &st)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("read free space: %w", err)
		case st.Blocks == 0: // a tmpfs without a limit
			return math.MaxInt64, nil
		}
		const block = 512 // of Stat_t.Blocks, always
		return int64(st.Bavail)*st.Bsize + info.Sys().(*syscall.Stat_t).Blocks*block, nil
	}
}

// LockShared takes a shared flock on f, which the open file has until the last descriptor of it is closed, by whatever death. It
// waits while another has an exclusive one.
func LockShared(f *os.File) error { return flock(f, unix.LOCK_SH) }

// TryLock takes an exclusive flock on f and reports whether it could: it cannot while another open file has a lock.
func TryLock(f *os.File) (bool, error) {
	err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// Unlock gives up the flock on f, in all processes that have this open file. To close f may not: a child that is just being started has a
// copy of each descriptor until it executes its program.
func Unlock(f *os.File) error { return flock(f, unix.LOCK_UN) }

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
		return nil
	}
}
