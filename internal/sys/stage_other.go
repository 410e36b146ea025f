//go:build !linux || !(amd64 || arm64)

package sys

// CloseRange fails on this system.
func CloseRange(uint) error { return unsupported("close descriptors") }

// Inheritable fails on this system.
func Inheritable(int) ([]int, error) { return nil, unsupported("list descriptors") }

// IsInheritable returns false on this system.
func IsInheritable(int) bool { return false }

// SetCloexec fails on this system.
func SetCloexec(int) error { return unsupported("set close-on-exec") }

// InodeOf fails on this system.
func InodeOf(int) (uint64, error) { return 0, unsupported("look at descriptor") }

// IsNoFile returns false on this system.
func IsNoFile(int) bool { return false }

// IsCPUTime returns false on this system.
func IsCPUTime(int) bool { return false }

// SetLimit fails on this system.
func SetLimit(int, uint64, uint64) error { return unsupported("set limit") }

// RaiseOOMScore fails on this system.
func RaiseOOMScore(int) error { return unsupported("raise the OOM score") }

// SetComm fails on this system.
func SetComm(string) error { return unsupported("set name") }
