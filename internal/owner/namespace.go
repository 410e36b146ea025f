package owner

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// ErrNamespace is what attaching to memory fails with whose IDs name processes of another PID namespace.
var ErrNamespace = errors.New("another PID namespace")

// namespaceParam is where the header of a structure with IDs in it has the number of the namespace in which they mean something.
const namespaceParam = 4

// Init is [layout.Init] for a structure in which IDs name processes: it writes the PID namespace of this process into the header, as the
// last parameter. It fails if that cannot be told.
func Init(mem []byte, kind layout.Kind, params ...uint64) error {
	here, err := Namespace()
	if err != nil {
		return err
	}
	var all [namespaceParam + 1]uint64
	if copy(all[:namespaceParam], params) < len(params) {
		panic(fmt.Sprintf("owner: %d parameters, a header holds %d beside the PID namespace", len(params), namespaceParam))
	}
	all[namespaceParam] = here
	return layout.Init(mem, kind, all[:]...)
}

// Check is [layout.Check] for such a structure. The error wraps [ErrNamespace] if this process is in another namespace.
func Check(mem []byte, kind layout.Kind) (params [5]uint64, err error) {
	if params, err = layout.Check(mem, kind); err != nil {
		return params, err
	}
	return params, CheckNamespace(kind, params[namespaceParam])
}

// CheckNamespace says why this process must not use a structure that was made in a namespace of that number: processes that live look dead
// from others.
func CheckNamespace(kind layout.Kind, made uint64) error {
	here, err := Namespace()
	if err == nil && here != made {
		err = fmt.Errorf("its processes are those of PID namespace %d, this one is in %d, where they look dead: "+
			"do not attach here, or have all of them share a PID namespace: %w", made, here, ErrNamespace)
	}
	if err != nil {
		return fmt.Errorf("attach %v: %w", kind, err)
	}
	return nil
}

// Namespace returns the number of the PID namespace of this process. It fails where /proc is not mounted, or is that of another
// namespace: IDs mean nothing there.
//
// Numbers are not given to two namespaces at a time. One that has ended may leave its to another: then all its processes
// are dead, and no ID of theirs is that of a later one.
func Namespace() (uint64, error) {
	if here := namespace.Load(); here != 0 {
		return here, nil
	}
	here, err := sys.PIDNamespace()
	if err != nil {
		return 0, fmt.Errorf("tell the PID namespace: %w", err)
	}
	namespace.Store(here)
	return here, nil
}

// A process stays in its PID namespace: to unshare it, or to enter another, concerns its children.
var namespace atomic.Uint64
