package semaphore

import "errors"

// ErrCorrupted is what operations fail with that find a value in shared memory that
// no correct participant can have written.
var ErrCorrupted = errors.New("shared memory corrupted")
