package ring

import "errors"

// Errors that callers may want to tell apart.
var (
	// ErrCorrupted means that a ring's memory holds something that none of its
	// users can have written. The ring is of no use any more.
	ErrCorrupted = errors.New("ring is corrupted")
	// ErrTooLarge means that a record does not fit into the ring even if it is empty.
	ErrTooLarge = errors.New("record too large for the ring")
)
