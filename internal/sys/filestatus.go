package sys

import "io/fs"

// A FileStatus is some of what the system says of a file.
type FileStatus struct {
	Mode  fs.FileMode
	Size  int64  // bytes
	Owner int    // the user's number
	Names uint64 // 0 once the last one was removed
}
