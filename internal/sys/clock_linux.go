//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Nanotime reads the clock that all processes of the machine share, CLOCK_MONOTONIC, in nanoseconds. Go's own reading of
// it, without a system call, is relative to something of this process's: what lies between is measured once.
func Nanotime() int64 { return clockOrigin + int64(time.Since(clockBase)) }

var (
	clockBase   = time.Now()
	clockOrigin = findOrigin()
)

// findOrigin returns the shared clock's reading at clockBase: of a few measurements, the one that was interrupted least.
func findOrigin() int64 {
	const tries = 4
	var origin int64
	least := time.Duration(-1)
	for range tries {
		before := time.Since(clockBase)
		now := monotonic()
		after := time.Since(clockBase)
		if took := after - before; least < 0 || took < least {
			least, origin = took, now-int64(before+took/2)
		}
	}
	return origin
}

// monotonic reads the clock by a system call or the vDSO.
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(fmt.Sprintf("sys: read monotonic clock: %v", err))
	}
	return now.Nano()
}
