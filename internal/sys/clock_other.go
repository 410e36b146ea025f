//go:build !(linux && (amd64 || arm64))

package sys

import "time"

var clockBase = time.Now()

// Nanotime reads a clock that only moves forward, in nanoseconds.
func Nanotime() int64 { return int64(time.Since(clockBase)) }
