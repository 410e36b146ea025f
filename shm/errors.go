package shm

import "errors"

// ErrNoMemory is wrapped by the error of a [Segment.Reserve] for which the machine or
// the process's control group has too little memory left, or too few huge pages, and of
// a [NewHuge] where no huge page is left. Waiting or asking for less
// may help.
var ErrNoMemory = errors.New("not enough memory")

// ErrTruncated is wrapped by the error of [File.Ref] and [OpenRef] for a file that has
// become shorter than it was when it was opened.
var ErrTruncated = errors.New("file was truncated")
