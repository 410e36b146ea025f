//go:build !linux || !(amd64 || arm64)

package sys

import "os"

// Unnamed fails on this system.
func Unnamed(string, string) (*os.File, error) { return nil, unsupported("create shared memory file") }

// Link fails on this system.
func Link(*os.File, string) error { return unsupported("link file") }

// Unlink fails on this system.
func Unlink(string) error { return unsupported("unlink file") }

// NamesIn fails on this system.
func NamesIn(string) ([]string, error) { return nil, unsupported("list shared memory files") }

// OpenPathItself fails on this system.
func OpenPathItself(string) (*os.File, error) { return nil, unsupported("open shared memory file") }

// ReopenWritable fails on this system.
func ReopenWritable(*os.File) (*os.File, error) { return nil, unsupported("open shared memory file") }

// StatusOfFile fails on this system.
func StatusOfFile(*os.File) (FileStatus, error) { return FileStatus{}, unsupported("look at file") }

// FileRoom fails on this system.
func FileRoom(*os.File) (int64, error) { return 0, unsupported("read free space") }

// LockShared fails on this system.
func LockShared(*os.File) error { return unsupported("lock file") }

// TryLock fails on this system.
func TryLock(*os.File) (bool, error) { return false, unsupported("lock file") }

// Unlock fails on this system.
func Unlock(*os.File) error { return unsupported("unlock file") }
