//go:build !linux || !(amd64 || arm64)

package sys

import "os"

// CheckSeals fails on this system.
func CheckSeals(*os.File) error { return unsupported("read seals") }

// CloseOnExec fails on this system.
func CloseOnExec(*os.File) error { return unsupported("set close-on-exec") }

// OutOfMemory cannot be asked on this system: nothing is allocated.
func OutOfMemory(error) bool { return false }

// Retire fails on this system.
func Retire([]byte) error { return unsupported("retire mapping") }

// OpenQuick fails on this system.
func OpenQuick(string) (*os.File, error) { return nil, unsupported("open file to map") }

// OpenQuickWritable fails on this system.
func OpenQuickWritable(string) (*os.File, error) { return nil, unsupported("open file to map") }

// OpenPath fails on this system.
func OpenPath(string) (*os.File, error) { return nil, unsupported("open file to map") }

// Reopen fails on this system.
func Reopen(*os.File) (*os.File, error) { return nil, unsupported("open file to map") }

// FileID fails on this system.
func FileID(*os.File) (dev, ino uint64, err error) { return 0, 0, unsupported("identify file") }
