package semaphore

import (
	"errors"

	"github.com/shmkit/shmkit/internal/owner"
)

// ErrCorrupted is what operations fail with that find a value in shared memory that
// no correct participant can have written.
var ErrCorrupted = errors.New("shared memory corrupted")

// ErrNoSeat is what making another handle fails with when an object that knows its participants has as many as it
// can have: [Seats], all of them of living processes.
var ErrNoSeat = errors.New("no seat is left for another handle")

// ErrNamespace is what attaching to, or adopting, an object fails with that names processes by their pids, in a process of another PID namespace than
// the one in which it was made. The error names both.
var ErrNamespace = owner.ErrNamespace

// ErrOwnerDied says that the caller has the lock that it asked for, and that the process that had it before died with it: what the lock
// guards may be half done.
var ErrOwnerDied = errors.New("the owner died")

// ErrBroken is what a [Barrier] fails with that is broken, until it is reset.
var ErrBroken = errors.New("barrier is broken")
