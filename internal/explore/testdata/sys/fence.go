package sys

import (
	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/explore/atomic"
)

func AcceptFences() {}

func FenceAll() { explore.FenceAll() }

func PublishStore64(p *atomic.Uint64, v uint64) { p.Release(v) }
