package semaphore_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/semaphore"
)

// BenchmarkSemaphore takes and gives back one permit, beside what a single process
// would use. In handover the permit is wanted by two handles all the time.
func BenchmarkSemaphore(b *testing.B) {
	b.Run("free", func(b *testing.B) {
		s := newSemaphore(b, 1, 1)[0]
		b.ReportAllocs()
		for b.Loop() {
			take(b, s)
			s.Release(1)
		}
	})
	b.Run("free/robust", func(b *testing.B) {
		s := newRobust(b, 1, 1)[0]
		b.ReportAllocs()
		for b.Loop() {
			take(b, s)
			s.Release(1)
		}
	})
	b.Run("free/baseline-channel", func(b *testing.B) {
		c := make(chan struct{}, 1)
		for b.Loop() {
			c <- struct{}{}
			<-c
		}
	})
	b.Run("free/baseline-mutex", func(b *testing.B) {
		var mu sync.Mutex
		for b.Loop() {
			mu.Lock()
			//lint:ignore SA2001 the empty section is what is measured
			mu.Unlock()
		}
	})
	b.Run("handover", func(b *testing.B) { handOver(b, newSemaphore(b, 1, 2)) })
	b.Run("handover/robust", func(b *testing.B) { handOver(b, newRobust(b, 1, 2)) })
}

func take(b *testing.B, s *semaphore.Semaphore) {
	if err := s.Acquire(context.Background(), 1); err != nil {
		b.Error(err)
	}
}

// handOver lets a second handle take the permit again and again.
func handOver(b *testing.B, h []*semaphore.Semaphore) {
	stop := make(chan struct{})
	var rival sync.WaitGroup
	rival.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				take(b, h[1])
				h[1].Release(1)
			}
		}
	})
	for b.Loop() {
		take(b, h[0])
		h[0].Release(1)
	}
	close(stop)
	rival.Wait()
	require.EqualValues(b, 1, h[0].Value())
}
