//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	futexWaitBitset = 9
	futexWakeBitset = 10
)

// CheckFutex returns an error that wraps [errors.ErrUnsupported] where no futex can
// be used; constructors whose methods sleep on one ask it first.
func CheckFutex() error { return nil }

// FutexWaitAs is [FutexWait] under a name: bits, not 0, lets [FutexWakeAs] pick this
// sleeper out of all that sleep on word. FutexWake wakes it too.
func FutexWaitAs(word *atomic.Uint32, val uint32, timeout time.Duration, bits uint32) (timedOut bool) {
	var until *unix.Timespec
	if timeout >= 0 {
		t := monotonicIn(timeout) // this operation takes a point in time, not a duration
		until = &t
	}
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWaitBitset,
		uintptr(val), uintptr(unsafe.Pointer(until)), 0, uintptr(bits))
	return waited(word, errno)
}

// FutexWakeAs wakes the sleepers of word whose bits have one in common with bits,
// and returns how many there were. It never blocks.
func FutexWakeAs(word *atomic.Uint32, bits uint32) int {
	woken, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWakeBitset,
		All, 0, 0, uintptr(bits))
	if errno != 0 {
		panic(fmt.Sprintf("sys: futex wake on %p: %v", word, errno))
	}
	return int(woken)
}

// monotonicIn returns the reading of the kernel's monotonic clock in d from now.
func monotonicIn(d time.Duration) unix.Timespec {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(fmt.Sprintf("sys: read monotonic clock: %v", err))
	}
	return unix.NsecToTimespec(now.Nano() + int64(d))
}
