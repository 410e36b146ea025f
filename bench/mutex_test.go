package bench

import (
	"context"
	"sync"
	"testing"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
	"github.com/shmkit/shmkit/semaphore"
)

// BenchmarkMutex locks and unlocks, alone and while another process does the same. Beside it stands what Go has for goroutines.
func BenchmarkMutex(b *testing.B) {
	b.Run("free", func(b *testing.B) {
		m := newMutex()
		b.ReportAllocs()
		b.ResetTimer()
		lockOften(m, b.N)
		b.StopTimer()
		must(m.Close())
	})
	b.Run("free/sync", func(b *testing.B) {
		var mu sync.Mutex
		lockGo(&mu, b.N)
	})
	b.Run("contended", contendedMutex)
	b.Run("contended/sync", func(b *testing.B) {
		var mu sync.Mutex
		var rival sync.WaitGroup
		rival.Go(func() { lockGo(&mu, b.N) })
		lockGo(&mu, b.N)
		rival.Wait()
	})
}

func newMutex() *semaphore.Mutex {
	m, err := semaphore.NewMutex()
	must(err)
	return m
}

func lockOften(m *semaphore.Mutex, n int) {
	ctx := context.Background()
	for range n {
		must(m.Lock(ctx))
		m.Unlock()
	}
}

func lockGo(mu *sync.Mutex, n int) {
	for range n {
		mu.Lock()
		//lint:ignore SA2001 the empty section is what is measured
		mu.Unlock()
	}
}

// A rival is what the other process is given: it locks N times.
type rival struct {
	N     int
	Mutex *semaphore.Mutex
	Back  *ring.PipeEnd // it says there that it begins, and that it has ended
}

var lockAsRival = process.Func("bench lock", func(ctx context.Context, r rival) error {
	must(r.Back.Send(ctx, nil))
	lockOften(r.Mutex, r.N)
	return r.Back.Send(ctx, nil)
})

// contendedMutex is b.N locks here and as many in another process, at the same time.
func contendedMutex(b *testing.B) {
	m := newMutex()
	mine, theirs := newPipe()
	wait := startPeer(lockAsRival, rival{b.N, m, theirs})
	hear(mine)
	b.ReportAllocs()
	b.ResetTimer()
	lockOften(m, b.N)
	hear(mine)
	b.StopTimer()
	wait()
	must(mine.Close())
	must(m.Close())
}
