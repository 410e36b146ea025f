package owner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/sys"
)

// pidBits is enough for every pid: Linux never gives one above 1<<22.
const pidBits = 22

// An ID names one process of this machine, now and after its end. The zero ID names
// none.
type ID uint64

func newID(pid int, start uint64) ID { return ID(start<<pidBits | uint64(pid)) }

// Self returns the ID of this process.
func Self() (ID, error) {
	if id := self.Load(); id != 0 {
		return ID(id), nil
	}
	id, err := Of(os.Getpid())
	if err == nil { // an error, for want of a descriptor for example, is not for ever
		self.Store(uint64(id))
	}
	return id, err
}

// A process keeps its ID: exec changes neither the pid nor the time of the start.
var self atomic.Uint64

// Of returns the ID of the process that has pid now. The error wraps
// [fs.ErrNotExist] if there is none.
func Of(pid int) (ID, error) {
	if pid <= 0 || pid >= 1<<pidBits {
		return 0, fmt.Errorf("identify process %d: no such pid: %w", pid, fs.ErrNotExist)
	}
	s, err := look(pid)
	if err != nil {
		return 0, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return newID(pid, s.start), nil
}

// Pid returns the pid that the process has, or had.
func (id ID) Pid() int { return int(id & (1<<pidBits - 1)) }

// Alive reports whether the process still runs. False is final; true may be old by
// the time it is read.
func (id ID) Alive() bool {
	if id == 0 {
		return false
	}
	s, err := look(id.Pid())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false
	case err != nil:
		return true // unreadable is no proof of death
	}
	return newID(id.Pid(), s.start) == id && !s.ended()
}

// Open returns a pidfd of the process, for [Watch]. The error wraps
// [os.ErrProcessDone] if it has ended and was reaped. The caller closes the file.
func (id ID) Open() (*os.File, error) {
	f, err := sys.OpenPidfd(id.Pid())
	if err != nil {
		return nil, err
	}
	// The pid may belong to another process by now. If it does not after the pidfd
	// was opened, then it did not before.
	now, err := Of(id.Pid())
	switch {
	case err == nil && now == id:
		return f, nil
	case err == nil || errors.Is(err, fs.ErrNotExist):
		err = os.ErrProcessDone
	}
	_ = f.Close() // what cannot be read is no proof of an end
	return nil, fmt.Errorf("open pidfd of process %v: %w", id, err)
}

// String returns the pid and the start time, in ticks since the machine booted.
func (id ID) String() string { return fmt.Sprintf("%d@%d", id.Pid(), uint64(id>>pidBits)) }

func look(pid int) (stat, error) {
	var buf [1024]byte
	line, err := sys.ReadStat(pid, buf[:])
	if err != nil {
		return stat{}, err
	}
	return parseStat(line)
}
