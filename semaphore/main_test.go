package semaphore_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/semaphore"
)

func TestMain(m *testing.M) {
	history.Main(parts)
	if os.Getenv(puppetEnv) != "" {
		os.Exit(puppet())
	}
	leak.Main(m)
}

// watchdog bounds what a test waits for; only a failing one comes near it.
const watchdog = 30 * time.Second

// watched returns a context that ends with the watchdog.
func watched(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	t.Cleanup(cancel)
	return ctx
}

// recv waits for ch.
func recv[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(watchdog):
		require.FailNow(t, "never happened: "+what)
		panic("unreachable")
	}
}

// until waits for something in shared memory that nobody announces.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, watchdog, time.Millisecond, what)
}

// newSemaphore makes a semaphore over bytes of the heap, where the race detector
// sees its atomics, and as many handles as asked for: each stands for a process.
func newSemaphore(t testing.TB, permits int64, handles int) []*semaphore.Semaphore {
	mem := make([]byte, semaphore.Size)
	all := make([]*semaphore.Semaphore, handles)
	var err error
	all[0], err = semaphore.NewAt(mem, permits)
	require.NoError(t, err)
	for i := range all[1:] {
		all[i+1], err = semaphore.Attach(mem)
		require.NoError(t, err)
	}
	return all
}

// newRobust is newSemaphore for a robust one. The handles are closed at the end of the test.
func newRobust(t testing.TB, permits int64, handles int) []*semaphore.Semaphore {
	return newRobustIn(t, robustBytes(), permits, handles)
}

func robustBytes() []byte { return layout.SliceBytes(make([]uint64, semaphore.RobustSize/8)) }

func newRobustIn(t testing.TB, mem []byte, permits int64, handles int) []*semaphore.Semaphore {
	create := func(mem []byte) (*semaphore.Semaphore, error) { return semaphore.NewRobustAt(mem, permits) }
	return semaphore.Handles(t, mem, handles, create, semaphore.Attach)
}

// acquire starts an Acquire and returns where its result will be.
func acquire(ctx context.Context, s *semaphore.Semaphore, n int64) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Acquire(ctx, n) }()
	return done
}
