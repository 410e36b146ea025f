package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/shmkit/shmkit/shm"
)

// sentinels are the errors that keep their identity on the way from a worker.
var sentinels = struct {
	sync.Mutex
	byName map[string]error
}{byName: map[string]error{}}

func init() {
	for name, err := range map[string]error{
		"io.EOF": io.EOF, "io.ErrUnexpectedEOF": io.ErrUnexpectedEOF, "io.ErrClosedPipe": io.ErrClosedPipe,
		"fs.ErrInvalid": fs.ErrInvalid, "fs.ErrPermission": fs.ErrPermission, "fs.ErrExist": fs.ErrExist,
		"fs.ErrNotExist": fs.ErrNotExist, "fs.ErrClosed": fs.ErrClosed,
		"os.ErrDeadlineExceeded": os.ErrDeadlineExceeded, "errors.ErrUnsupported": errors.ErrUnsupported,
		"context.Canceled": context.Canceled, "context.DeadlineExceeded": context.DeadlineExceeded,
		"pool.ErrTooLarge": ErrTooLarge, "pool.ErrClosed": ErrClosed, "shm.ErrNoMemory": shm.ErrNoMemory,
		"shm.ErrTruncated": shm.ErrTruncated,
	} {
		addSentinel(name, err)
	}
}

// RegisterError lets err keep its identity when a task returns it, or an error that
// wraps it: errors.Is finds it in the [*TaskError] that the caller gets. It returns
// err, so that a package-level variable can be declared with it. The usual errors
// of context, errors, io, io/fs and os are registered.
//
// It panics if name is taken or Main has run: both sides must register the same.
func RegisterError(name string, err error) error {
	sentinels.Lock()
	_, taken := sentinels.byName[name]
	sentinels.Unlock()
	mustRegister("RegisterError", name, taken)
	if err == nil || strings.Contains(name, nameSeparator) {
		panic(fmt.Sprintf("pool: RegisterError %q: the error is nil or the name contains a NUL", name))
	}
	addSentinel(name, err)
	return err
}

const nameSeparator = "\x00"

func addSentinel(name string, err error) {
	sentinels.Lock()
	defer sentinels.Unlock()
	sentinels.byName[name] = err
}

// sentinelsIn names the registered errors that err wraps.
func sentinelsIn(err error) string {
	var found []string
	for name, sentinel := range allSentinels() {
		if is(err, sentinel) {
			found = append(found, name)
		}
	}
	return strings.Join(found, nameSeparator)
}

// allSentinels yields the registered errors; the lock is not held while the loop's body
// runs.
func allSentinels() iter.Seq2[string, error] {
	sentinels.Lock()
	all := maps.Clone(sentinels.byName)
	sentinels.Unlock()
	return maps.All(all)
}

// is is errors.Is, which calls the user's methods. They may panic.
func is(err, target error) (found bool) {
	defer func() {
		if recover() != nil {
			found = false
		}
	}()
	return errors.Is(err, target)
}

// sentinelsNamed is the reverse; names that this process does not know are left out.
func sentinelsNamed(names string) []error {
	if names == "" {
		return nil
	}
	sentinels.Lock()
	defer sentinels.Unlock()
	var errs []error
	for name := range strings.SplitSeq(names, nameSeparator) {
		if err := sentinels.byName[name]; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
