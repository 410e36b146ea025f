package shm

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/shmkit/shmkit/internal/sys"
)

// euid is who this process is to the file system. Tests put another in its place.
var euid = os.Geteuid

// openNamedFile opens the very file that check has let pass. It looks at it through a descriptor that does nothing else: to open
// a pipe waits, to open a device may make it act. And it looks again afterwards, since its owner may have changed all but its kind.
func openNamedFile(name string, check func(sys.FileStatus) error, reopen func(*os.File) (*os.File, error)) (*os.File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	look, err := sys.OpenPathItself(namedPath(name))
	if err != nil {
		return nil, err
	}
	defer look.Close()
	if _, err := checkedStatus(look, check); err != nil {
		return nil, err
	}
	return reopen(look)
}

func checkedStatus(f *os.File, check func(sys.FileStatus) error) (sys.FileStatus, error) {
	st, err := sys.StatusOfFile(f)
	if err == nil {
		err = check(st)
	}
	return st, err
}

// openLocked opens the file that has the name, lets check pass and is locked by lock, all at the same time: a collector that has had
// the lock before may have removed it, and then the name leads to another file or to none.
//
// Who takes names away has a lock, shared or not. So the name keeps leading to the file for as long as the
// lock is exclusive, as far as programs are concerned that use this package.
func openLocked(name string, check func(sys.FileStatus) error, reopen func(*os.File) (*os.File, error), lock func(*os.File) error) (
	*os.File, sys.FileStatus, error) {
	for {
		f, err := openNamedFile(name, check, reopen)
		if err != nil {
			return nil, sys.FileStatus{}, err
		}
		if err = lock(f); err == nil {
			var st sys.FileStatus
			if st, err = checkedStatus(f, check); err == nil && st.Names > 0 {
				return f, st, nil
			}
		}
		f.Close()
		if err != nil {
			return nil, sys.FileStatus{}, err
		}
	}
}

// checkOwn lets files pass that this user may call his own.
func checkOwn(st sys.FileStatus) error {
	if !st.Mode.IsRegular() {
		return fmt.Errorf("it is %s, not shared memory: %w", kindOf(st.Mode), os.ErrInvalid)
	}
	if me := euid(); st.Owner != me {
		return fmt.Errorf("it belongs to user %d, and this process to user %d: %w", st.Owner, me, fs.ErrPermission)
	}
	return nil
}

// checkUsable lets files pass that can be mapped and that no other user can change. Others may read them if their owner likes.
func checkUsable(st sys.FileStatus) error {
	if err := checkOwn(st); err != nil {
		return err
	}
	const group, everybody = 0o020, 0o002
	switch {
	case st.Mode&everybody != 0:
		return fmt.Errorf("its mode is %v, everybody may write to it: run chmod o-w: %w", st.Mode, fs.ErrPermission)
	case st.Mode&group != 0:
		return fmt.Errorf("its mode is %v, its group may write to it: run chmod g-w: %w", st.Mode, fs.ErrPermission)
	case st.Size == 0:
		return ErrEmpty
	}
	return nil
}
