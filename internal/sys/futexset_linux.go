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
	futexWaitv  = 449 // SYS_FUTEX_WAITV, alike on all architectures, which x/sys/unix lacks
	futexSize32 = 2   // FUTEX2_SIZE_U32; as with the other calls, without the private flag
)

// MaxFutexes is how many words a [FutexSet] holds at most: the kernel's FUTEX_WAITV_MAX.
const MaxFutexes = 128

// CanFutexSet reports whether the kernel has futex_waitv: Linux 5.16 has, some sandboxes and emulators of it have not.
func CanFutexSet() bool {
	_, _, errno := unix.RawSyscall6(futexWaitv, 0, 0, 0, 0, 0, 0)
	return errno == unix.EINVAL // no words
}

// A FutexSet is words on which one thread sleeps together. The zero value is an empty one. Who fills it keeps the words in memory until
// the sleep is over.
type FutexSet struct {
	n     int
	words [MaxFutexes]struct { // struct futex_waitv
		val  uint64
		word uintptr
		bits uint32
		_    uint32
	}
}

// Clear empties the set.
func (s *FutexSet) Clear() { s.n = 0 }

// Add adds a word, and the value that it has while one is to sleep.
func (s *FutexSet) Add(word *atomic.Uint32, val uint32) {
	w := &s.words[s.n]
	w.val, w.word, w.bits = uint64(val), uintptr(unsafe.Pointer(word)), futexSize32
	s.n++
}

// Wait sleeps while all words, of which there is one at least, have the values they were added with, for at most timeout (a negative
// one means without a bound). Any FUTEX_WAKE of one of the words ends it, whatever its bits. A wake-up of a second word may be spent on
// it before it has returned, and it tells of neither: the caller looks at the words. It may return for no reason.
func (s *FutexSet) Wait(timeout time.Duration) {
	var until *unix.Timespec
	if timeout >= 0 {
		t := monotonicIn(timeout)
		until = &t
	}
	_, _, errno := unix.Syscall6(futexWaitv, uintptr(unsafe.Pointer(&s.words)), uintptr(s.n), 0,
		uintptr(unsafe.Pointer(until)), unix.CLOCK_MONOTONIC, 0)
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR, unix.ETIMEDOUT:
		return
	}
	panic(fmt.Sprintf("sys: futex wait on %d words: %v", s.n, errno))
}
