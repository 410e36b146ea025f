package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/shmkit/shmkit/internal/sys"
)

// Info is what [List] says of a segment with a name.
type Info struct {
	Name string
	Size int64 // bytes

	// Held says that a process has the segment from [Create] or [Open] and has neither closed it nor ended, by whatever death. Other programs
	// are seen if they keep a shared flock on it, which C and Python do not do by themselves: false says nothing
	// about those. While another process looks too, it may be true for a segment that nobody holds.
	Held bool
}

// List returns the segments that this process could [Open] now, whoever has made them, sorted by name.
func List() ([]Info, error) {
	names, err := sys.NamesIn(namedDir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var all []Info
	for _, name := range names {
		info, err := lookAt(name)
		switch {
		case err == nil:
			all = append(all, info)
		case !cannotOpen(err):
			return nil, fmt.Errorf("list segments: look at %q: %w", name, err)
		}
	}
	return all, nil
}

// cannotOpen reports whether err says that a file is no segment of this user's, or is gone by now.
func cannotOpen(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, os.ErrInvalid) || errors.Is(err, ErrEmpty)
}

func lookAt(name string) (Info, error) {
	f, err := openNamedFile(name, checkUsable, sys.Reopen)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	st, err := checkedStatus(f, checkUsable)
	if err != nil {
		return Info{}, err
	}
	// The lock is had for the time of two system calls. Who opens the segment just then waits for that long.
	free, err := sys.TryLock(f)
	if free {
		err = sys.Unlock(f)
	}
	return Info{Name: name, Size: st.Size, Held: !free}, err
}

// Remove takes the name away from a segment, whether somebody holds it or not, as C's shm_unlink does: who has it keeps the memory,
// which is freed when the last one has closed it or ended, and the name can be used again at once.
//
// It refuses what is not this user's own memory: the error wraps [fs.ErrNotExist], [os.ErrInvalid] or [fs.ErrPermission], as
// with [Open]. What Open refuses for its mode or size can be removed.
func Remove(name string) error { return remove(name, checkOwn, sys.LockShared) }

// RemoveOrphan removes a segment that nobody holds, in the sense of [Info]: what a program that was killed has left, for example.
// The error wraps [ErrHeld] if somebody does; otherwise it is as with [Open]. A process that opens the segment at the same
// time either holds it before, or finds that it does not exist.
func RemoveOrphan(name string) error { return remove(name, checkUsable, lockUnheld) }

func lockUnheld(f *os.File) error {
	free, err := sys.TryLock(f)
	if err == nil && !free {
		err = ErrHeld
	}
	return err
}

// remove may go by the name once it has been checked: in a folder that is sticky, as /dev/shm is, nobody but a file's owner and
// root can put another in its place.
func remove(name string, check func(sys.FileStatus) error, lock func(*os.File) error) error {
	f, _, err := openLocked(name, check, sys.Reopen, lock)
	if err == nil {
		err = errors.Join(sys.Unlink(namedPath(name)), sys.Unlock(f), f.Close())
	}
	if err != nil {
		return fmt.Errorf("remove segment %q: %w", name, err)
	}
	return nil
}
