package sys

import "github.com/shmkit/shmkit/internal/explore/atomic"

func Pause(uint32) {}

func ReleaseStore64(p *atomic.Uint64, v uint64) { p.Release(v) }

func PrefetchWrite(*atomic.Uint64) {}

func PrefetchWriteBytes([]byte) {}

func PrefetchRead([]byte) {}
