package pool

import (
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
)

// A bell is the one word on which the parent sleeps:
//
//	parent                         worker
//	store 1 (full fence)           publish the hint (full fence)
//	look at all completion rings   load: 1?
//	sleep while it is 1            CAS 1 -> 0: FUTEX_WAKE
//
// Whoever is first in the total order, the other sees it. The worker that wins the CAS
// may be killed before its system call; its death wakes the parent by its pidfd.
type bell struct{ word *atomic.Uint32 }

func (m *memory) bell() bell { return bell{&m.ctl.asleep} }

// announce is called before the last look at the rings.
func (b bell) announce() { b.word.Store(1) }

func (b bell) retract() { b.word.Store(0) }

// sleep returns when the bell was rung, or when timeout has passed.
func (b bell) sleep(timeout time.Duration) (timedOut bool) {
	return sys.FutexWait(b.word, 1, timeout)
}

// ring wakes the parent if it sleeps or is about to.
func (b bell) ring() {
	if b.word.Load() == 1 && b.word.CompareAndSwap(1, 0) {
		sys.FutexWake(b.word, 1)
	}
}

// rouse wakes the parent if it sleeps, whatever the word says: who has changed it may have been stopped or killed before its system call.
func (b bell) rouse() {
	b.word.Store(0)
	sys.FutexWake(b.word, 1)
}

// nap returns after d, or when the pool ends. Workers do not ring meanwhile.
func (b bell) nap(d time.Duration) { sys.FutexWait(b.word, 0, d) }
