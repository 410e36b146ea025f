//go:build !linux || !(amd64 || arm64)

package sys

// CheckFutexWaitv fails on this system.
func CheckFutexWaitv() error { return unsupported("use futex_waitv") }

// CheckFenceAll fails on this system.
func CheckFenceAll() error { return unsupported("use membarrier") }

// RoomIn fails on this system.
func RoomIn(string) (size, free int64, err error) { return 0, 0, unsupported("read free space") }
