package shm

import "errors"

// ErrNoMemory is wrapped by the error of a [Segment.Reserve] or [Create] for which the machine or
// the process's control group has too little memory left, or /dev/shm, or too few huge pages, and of
// a [NewHuge] where no huge page is left. Waiting or asking for less
// may help.
var ErrNoMemory = errors.New("not enough memory")

// ErrTruncated is wrapped by the error of [File.Ref] and [OpenRef] for a file that has
// become shorter than it was when it was opened.
var ErrTruncated = errors.New("file was truncated")

// ErrEmpty is wrapped by the error of an [Open] of a segment of 0 bytes. Programs that do not use this package make a segment
// first and then give it a size: it may have one a moment later.
var ErrEmpty = errors.New("segment has no bytes")

// ErrHeld is wrapped by the error of a [RemoveOrphan] of a segment that a process holds.
var ErrHeld = errors.New("segment is held by a process")
