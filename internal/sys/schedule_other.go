//go:build !linux || !(amd64 || arm64)

package sys

// CheckCPUs fails on this system.
func CheckCPUs([]int) error { return unsupported("choose CPUs") }

// SetNice fails on this system.
func SetNice(int) error { return unsupported("set niceness") }

// SetCPUs fails on this system.
func SetCPUs([]int) error { return unsupported("choose CPUs") }
