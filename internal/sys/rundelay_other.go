//go:build !linux || !(amd64 || arm64)

package sys

import "time"

// Runnable fails on this system.
func Runnable(int) (bool, error) { return false, unsupported("look at threads") }

// RunDelay fails on this system.
func RunDelay(int) (time.Duration, error) { return 0, unsupported("look at threads") }
