//go:build !linux || !(amd64 || arm64)

package sys

import "os"

// OpenPidfd fails on this system.
func OpenPidfd(int) (*os.File, error) { return nil, unsupported("open pidfd") }

// Exited cannot be reached: there is no pidfd on this system.
func Exited(uintptr) bool { panic(unsupported("poll pidfd")) }
