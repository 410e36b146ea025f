//go:build !linux || !(amd64 || arm64)

package sys

import "os"

// Memfd fails on this system.
func Memfd(string, int64) (*os.File, error) { return nil, unsupported("create memory file") }

// Allocate fails on this system.
func Allocate(*os.File, int64, int64) error { return unsupported("allocate shared memory") }

// Punch fails on this system.
func Punch(*os.File, int64, int64) error { return unsupported("punch shared memory") }

// KeepPrivate fails on this system.
func KeepPrivate([]byte) error { return unsupported("madvise") }
