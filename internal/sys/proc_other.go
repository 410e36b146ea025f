//go:build !linux || !(amd64 || arm64)

package sys

// ReadStat fails on this system.
func ReadStat(int, []byte) ([]byte, error) { return nil, unsupported("read process state") }

// Errno returns nil on this system.
func Errno(int) error { return nil }

// ErrnoOf returns 0 on this system.
func ErrnoOf(error) int { return 0 }

// Read fails on this system.
func Read(uintptr, []byte) (int, error) { return 0, unsupported("read descriptor") }

// Write fails on this system.
func Write(uintptr, []byte) error { return unsupported("write descriptor") }

// Close fails on this system.
func Close(uintptr) error { return unsupported("close descriptor") }

// StatusOf fails on this system.
func StatusOf(int) (ProcessStatus, error) { return ProcessStatus{}, unsupported("read process state") }
