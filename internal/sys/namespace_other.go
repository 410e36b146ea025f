//go:build !linux || !(amd64 || arm64)

package sys

// PIDNamespace fails on this system.
func PIDNamespace() (uint64, error) { return 0, unsupported("read PID namespace") }
