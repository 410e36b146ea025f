//go:build linux && (amd64 || arm64)

package sys

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

//go:noescape
func releaseStores64(dst *uint64, src *byte, n int)

// ReleaseStores64 stores the whole words of src into dst, the first ones first, as so many calls of [ReleaseStore64] would. dst has at
// least as many.
func ReleaseStores64(dst []atomic.Uint64, src []byte) {
	n := len(src) / 8
	if n == 0 {
		return
	}
	dst = dst[:n]
	if raceEnabled { // the detector does not see assembly
		for i := range dst {
			dst[i].Store(binary.NativeEndian.Uint64(src[8*i:]))
		}
		return
	}
	releaseStores64((*uint64)(unsafe.Pointer(&dst[0])), &src[0], n)
}
