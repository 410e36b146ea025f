//go:build linux && (amd64 || arm64)

package sys

// Ticks reads a counter of the processor's that goes at a steady pace: cheaper than a clock, of an unknown unit, and on some machines another on
// each processor.
//
//go:noescape
func Ticks() uint64
