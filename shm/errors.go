package shm

import "errors"

// ErrNoMemory is wrapped by the error of a [Segment.Reserve] for which the machine or
// the process's control group has too little memory left. Waiting or asking for less
// may help.
var ErrNoMemory = errors.New("not enough memory")
