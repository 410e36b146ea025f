//go:build !linux || !(amd64 || arm64)

package sys

import (
	"encoding/binary"
	"sync/atomic"
)

// ReleaseStores64 is slow here, and right.
func ReleaseStores64(dst []atomic.Uint64, src []byte) {
	for i := range dst[:len(src)/8] {
		dst[i].Store(binary.NativeEndian.Uint64(src[8*i:]))
	}
}
