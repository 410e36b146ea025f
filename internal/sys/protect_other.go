//go:build !linux || !(amd64 || arm64)

package sys

// Access is what a process may do with memory.
type Access int

// What can be allowed.
const (
	AccessNone Access = iota
	AccessRead
	AccessAll
)

// Protect is not supported here.
func Protect([]byte, Access) error { return unsupported("protect memory") }
