package owner

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// watched holds what is to be done at the ends of other processes. However many ask for one, it is watched once.
var watched struct {
	sync.Mutex
	vigils map[ID]*vigil
}

// A vigil waits for the end of one process.
type vigil struct {
	pidfd *os.File // nil if the process had ended before
	calls map[*func()]struct{}
}

// OnEnd has f called, on a goroutine of its own, when the process has ended: soon, if it has already, and never for the
// zero ID and this process. It costs a descriptor for each process and no thread. stop takes it back; it does not wait for
// an f that runs. The error says that the process cannot be watched.
func (id ID) OnEnd(f func()) (stop func(), err error) {
	self, err := Self()
	if err != nil || id == 0 || id == self {
		return func() {}, err
	}
	watched.Lock()
	defer watched.Unlock()
	v := watched.vigils[id]
	if v == nil {
		if v, err = begin(id); err != nil {
			return func() {}, err
		}
	}
	v.calls[&f] = struct{}{}
	return func() { v.drop(id, &f) }, nil
}

// begin starts to watch. The caller holds the lock, so that the first call is there when the end is seen.
func begin(id ID) (*vigil, error) {
	pidfd, err := id.Open()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, err
	}
	if err := canWatch(pidfd); err != nil {
		_ = pidfd.Close()
		return nil, err
	}
	v := &vigil{pidfd: pidfd, calls: map[*func()]struct{}{}}
	if watched.vigils == nil {
		watched.vigils = map[ID]*vigil{}
	}
	watched.vigils[id] = v
	go v.keep(id)
	return v, nil
}

// canWatch returns why [Watch] would fail: the kernel has no room left for one more descriptor to watch, for example.
func canWatch(pidfd *os.File) error {
	if pidfd == nil {
		return nil
	}
	if err := pidfd.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("watch process: %w", err)
	}
	return nil
}

// keep is the goroutine.
func (v *vigil) keep(id ID) {
	if v.pidfd != nil && Watch(v.pidfd) != nil {
		return // drop has closed it
	}
	watched.Lock()
	calls := v.calls
	v.calls = nil
	v.end(id)
	watched.Unlock()
	for f := range calls {
		go (*f)()
	}
}

// end forgets v. The caller holds the lock.
func (v *vigil) end(id ID) {
	if watched.vigils[id] == v {
		delete(watched.vigils, id)
	}
	if v.pidfd != nil {
		_ = v.pidfd.Close()
	}
}

func (v *vigil) drop(id ID, f *func()) {
	watched.Lock()
	defer watched.Unlock()
	if _, ok := v.calls[f]; !ok { // called, or dropped before
		return
	}
	delete(v.calls, f)
	if len(v.calls) == 0 {
		v.end(id)
	}
}
