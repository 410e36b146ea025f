package bench

import (
	"context"
	"sync"
	"testing"

	"github.com/shmkit/shmkit/semaphore"
)

// BenchmarkRWMutex locks and unlocks, to read and to write, what nobody else wants. Beside it stands what Go has for goroutines.
func BenchmarkRWMutex(b *testing.B) {
	b.Run("read", func(b *testing.B) {
		freeRWMutex(b, func(m *semaphore.RWMutex) {
			ctx := context.Background()
			for range b.N {
				must(m.RLock(ctx))
				m.RUnlock()
			}
		})
	})
	b.Run("read/sync", func(b *testing.B) {
		var mu sync.RWMutex
		for range b.N {
			mu.RLock()
			//lint:ignore SA2001 the empty section is what is measured
			mu.RUnlock()
		}
	})
	b.Run("write", func(b *testing.B) {
		freeRWMutex(b, func(m *semaphore.RWMutex) {
			ctx := context.Background()
			for range b.N {
				must(m.Lock(ctx))
				m.Unlock()
			}
		})
	})
	b.Run("write/sync", func(b *testing.B) {
		var mu sync.RWMutex
		for range b.N {
			mu.Lock()
			//lint:ignore SA2001 the empty section is what is measured
			mu.Unlock()
		}
	})
}

func freeRWMutex(b *testing.B, use func(m *semaphore.RWMutex)) {
	m, err := semaphore.NewRWMutex()
	must(err)
	b.ReportAllocs()
	b.ResetTimer()
	use(m)
	b.StopTimer()
	must(m.Close())
}
