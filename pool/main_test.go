package pool

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
)

// asProgram names, in the environment, one of programs to run instead of the tests.
const asProgram = "SHMKIT_TEST_PROGRAM"

// programs are what tests run as a process of its own. Main has not run.
var programs = map[string]func(){}

func TestMain(m *testing.M) {
	if program := programs[os.Getenv(asProgram)]; program != nil {
		program()
		return
	}
	Main()
	os.Setenv("GORACE", "atexit_sleep_ms=0") // workers built with the detector end a second late otherwise
	leak.Main(m, "github.com/shmkit/shmkit/process.spawnLoop")
}

// watchdog bounds every wait for an event.
const watchdog = 30 * time.Second

// start starts a pool that is closed at the end of the test.
func start(t testing.TB, o Options) *Pool {
	t.Helper()
	p, err := New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// receive waits for one value.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(watchdog):
		require.FailNow(t, "nothing came within the watchdog's time")
		panic("unreachable")
	}
}

// block runs until its context ends.
var block = Func("block", func(ctx context.Context, x int) (int, error) {
	<-ctx.Done()
	return x, ctx.Err()
})

// slotsThatAre counts the slots in that state.
func slotsThatAre(p *Pool, s state) (n int) {
	for i := range p.mem.slots {
		if word(p.mem.slots[i].word.Load()).state() == s {
			n++
		}
	}
	return n
}

// hold occupies every worker until release is called. Tasks submitted meanwhile wait.
func hold(t testing.TB, p *Pool) (release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for range p.opts.Workers {
		_, err := block.Go(ctx, p, 0)
		require.NoError(t, err)
	}
	eventually(t, "all workers are occupied", func() bool { return slotsThatAre(p, running) == p.opts.Workers })
	return cancel
}

// eventually polls what no channel tells.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, watchdog, 2*time.Millisecond, what)
}
