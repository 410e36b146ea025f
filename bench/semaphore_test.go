package bench

import (
	"context"
	"testing"

	"github.com/shmkit/shmkit/semaphore"
)

// BenchmarkSemaphore takes and gives back the only permit, which nobody else wants. Beside it stands what Go has for goroutines: a channel
// with room for one.
func BenchmarkSemaphore(b *testing.B) {
	b.Run("free", func(b *testing.B) { useOften(b, semaphore.New) })
	b.Run("robust", func(b *testing.B) { useOften(b, semaphore.NewRobust) })
	b.Run("channel", func(b *testing.B) {
		c := make(chan struct{}, 1)
		for range b.N {
			c <- struct{}{}
			<-c
		}
	})
}

func useOften(b *testing.B, make func(n int64) (*semaphore.Semaphore, error)) {
	s, err := make(1)
	must(err)
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		must(s.Acquire(ctx, 1))
		s.Release(1)
	}
	b.StopTimer()
	must(s.Close())
}
