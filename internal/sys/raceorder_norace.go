//go:build !race

package sys

import "sync/atomic"

// RaceAcquire does nothing: this is no race build.
func RaceAcquire(*atomic.Uint32) {}

// RaceRelease does nothing: this is no race build.
func RaceRelease(*atomic.Uint32) {}
