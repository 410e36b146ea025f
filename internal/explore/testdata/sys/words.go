package sys

import (
	"encoding/binary"

	"github.com/shmkit/shmkit/internal/explore/atomic"
)

func ReleaseStores64(dst []atomic.Uint64, src []byte) {
	for i := range dst[:len(src)/8] {
		dst[i].Release(binary.NativeEndian.Uint64(src[8*i:]))
	}
}
