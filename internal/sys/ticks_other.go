//go:build !linux || !(amd64 || arm64)

package sys

// Ticks reads a clock.
func Ticks() uint64 { return uint64(Nanotime()) }
