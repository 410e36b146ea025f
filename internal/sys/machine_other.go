//go:build !linux || !(amd64 || arm64)

package sys

import "runtime"

// MemoryFree returns 0 on this system.
func MemoryFree(int64) int64 { return 0 }

// MemoryTotal returns 0 on this system.
func MemoryTotal() int64 { return 0 }

// CPUs returns the processors of the machine.
func CPUs() int { return runtime.NumCPU() }

// Yield does nothing on this system.
func Yield() {}
