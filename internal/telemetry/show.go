//go:build !explore

package telemetry

import (
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/sys"
)

// Show writes a word for whoever looks on.
func Show(word *atomic.Uint64, n uint64) { sys.ReleaseStore64(word, n) }

// Raise adds to a word that nobody else writes.
func Raise(word *atomic.Uint64, n uint64) { Show(word, word.Load()+n) }
