//go:build linux && (amd64 || arm64)

package sys

import (
	"sync/atomic"
	"unsafe"
)

// lineBytes is the size of a cache line where the functions below are used for speed: a larger one is
// fetched twice at worst.
const lineBytes = 64

//go:noescape
func pause(n uint32)

//go:noescape
func prefetchWrite(p *uint64)

// Pause tells the processor n times that it is in a spin loop. n must be positive.
func Pause(n uint32) { pause(n) }

// ReleaseStore64 stores v so that everything written before it is visible to
// whoever loads v. Unlike atomic.Uint64.Store it is no full fence (Go's is an XCHG
// on amd64): a later load may be done before the store is seen by others.
func ReleaseStore64(p *atomic.Uint64, v uint64) {
	if raceEnabled { // the detector does not see assembly
		p.Store(v)
		return
	}
	releaseStore64((*uint64)(unsafe.Pointer(p)), v)
}

// PrefetchWrite begins to fetch the cache line of p for a write, and does not wait for it.
func PrefetchWrite(p *atomic.Uint64) { prefetchWrite((*uint64)(unsafe.Pointer(p))) }

//go:noescape
func prefetchRead(p *byte)

// PrefetchWriteBytes is PrefetchWrite for the cache lines of b.
func PrefetchWriteBytes(b []byte) {
	for at := 0; at < len(b); at += lineBytes {
		prefetchWrite((*uint64)(unsafe.Pointer(&b[at])))
	}
}

// PrefetchRead begins to fetch the cache lines of b, all at the same time, and does not wait for them.
func PrefetchRead(b []byte) {
	for at := 0; at < len(b); at += lineBytes {
		prefetchRead(&b[at])
	}
}
