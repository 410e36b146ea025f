//go:build !linux || !(amd64 || arm64)

package sys

import "sync/atomic"

// AcceptFences does nothing on this system: PublishStore64 is a fence.
func AcceptFences() {}

// FenceAll does nothing on this system.
func FenceAll() {}

// PublishStore64 stores v with the full strength of Go's atomics.
func PublishStore64(p *atomic.Uint64, v uint64) { p.Store(v) }
