//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The private flag is left out on purpose: the words lie in memory that is
// shared between processes, and a private futex is keyed by address space.
const (
	futexWait = 0
	futexWake = 1
)

// All, given to [FutexWake], wakes every waiter.
const All = math.MaxInt32

// FutexWait sleeps while *word equals val, for at most timeout (a negative one
// means without a bound). It reports whether the time ran out. Every other return
// may be spurious: the caller looks at its condition again.
//
// The call goes through Syscall6, so that the scheduler can use the processor
// for other goroutines; the goroutine costs a thread while it sleeps.
func FutexWait(word *atomic.Uint32, val uint32, timeout time.Duration) (timedOut bool) {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait,
		uintptr(val), uintptr(unsafe.Pointer(timespec(timeout))), 0, 0)
	return waited(word, errno)
}

// FutexNap is FutexWait for a time so short that Go's scheduler need not know of it: the
// goroutine keeps its P, and others wait longer for it. For what it costs to tell, see
// docs/PERFORMANCE.md.
func FutexNap(word *atomic.Uint32, val uint32, timeout time.Duration) (timedOut bool) {
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait,
		uintptr(val), uintptr(unsafe.Pointer(timespec(timeout))), 0, 0)
	return waited(word, errno)
}

func timespec(timeout time.Duration) *unix.Timespec {
	if timeout < 0 {
		return nil
	}
	t := unix.NsecToTimespec(int64(timeout))
	return &t
}

// waited says what a system call that waits on a futex came back with.
func waited(word *atomic.Uint32, errno unix.Errno) (timedOut bool) {
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR:
		return false
	case unix.ETIMEDOUT:
		return true
	}
	panic(fmt.Sprintf("sys: futex wait on %p: %v", word, errno))
}

// FutexWake wakes up to n sleepers of word and returns how many it woke. It never
// blocks, so it is a raw system call.
func FutexWake(word *atomic.Uint32, n int) int {
	woken, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake,
		uintptr(n), 0, 0, 0)
	if errno != 0 {
		panic(fmt.Sprintf("sys: futex wake on %p: %v", word, errno))
	}
	return int(woken)
}
