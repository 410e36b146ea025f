//go:build linux && (amd64 || arm64)

package sys

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A store that is followed by a load of another word may be seen by others after the load was done, unless a fence stands between them. It
// costs as much as a compare-and-swap, and where something is published and then sleepers are looked for it is needed each time. So those who
// go to sleep pay for it: [FenceAll] has all processors that run a process which [AcceptFences] do one.
//
// On arm64 a load-acquire never overtakes a store-release, and these are what Go's atomics and [PublishStore64] are made of.
const ordered = runtime.GOARCH == "arm64"

var (
	accept   sync.Once
	accepted atomic.Bool
)

// AcceptFences lets other processes make the processors of this one fence from some time soon on, so that PublishStore64 need not. The kernel
// takes some milliseconds to arrange it, for which nobody waits.
func AcceptFences() {
	if ordered {
		return
	}
	accept.Do(func() {
		go func() {
			_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, registerGlobalExpedited, 0, 0)
			accepted.Store(errno == 0)
		}()
	})
}

// FenceAll is a fence in this goroutine's processor and in others that run a process of which AcceptFences has come true: what they stored
// before is seen now, and what they load later sees what was stored before here. It is no more than nearly certain. Where the kernel has no such
// call, or forbids it, it is a fence in this one alone. And a processor is left out that has gone from a thread of that process to
// idleness and back, again and again, since before it was registered (membarrier_switch_mm of Linux 6.18 returns early then).
func FenceAll() {
	if !ordered {
		_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, globalExpedited, 0, 0) // there is nothing to do about an error
	}
}

// PublishStore64 stores v so that everything written before is visible to whoever loads v. For later loads of this goroutine either it is a
// full fence or a FenceAll of others is: what they store before that is seen here, or they see v after it, or, where that failed, soon.
func PublishStore64(p *atomic.Uint64, v uint64) {
	if ordered || accepted.Load() {
		ReleaseStore64(p, v)
		return
	}
	p.Store(v)
}
