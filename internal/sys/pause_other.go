//go:build !linux || !(amd64 || arm64)

package sys

import "sync/atomic"

// Pause does nothing on this system.
func Pause(uint32) {}

// ReleaseStore64 stores v with the full strength of Go's atomics.
func ReleaseStore64(p *atomic.Uint64, v uint64) { p.Store(v) }

// PrefetchWrite does nothing on this system.
func PrefetchWrite(*atomic.Uint64) {}

// PrefetchWriteBytes does nothing on this system.
func PrefetchWriteBytes([]byte) {}

// PrefetchRead does nothing on this system.
func PrefetchRead([]byte) {}
