//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// die ends the worker while it runs the task.
var die = Func("die", func(_ context.Context, how string) (int, error) {
	switch how {
	case "exit 0":
		os.Exit(0)
	case "exit 7":
		os.Exit(7)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "segv":
		debug.SetPanicOnFault(false)
		syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case "panic":
		go func() { panic("in a goroutine of its own") }()
	case "fatal":
		m := map[int]int{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					m[i%4] = i
				}
			})
		}
		wg.Wait()
	}
	select {}
})

// However a worker ends, its task fails with how, and another takes its place. Seen in CPython's test_concurrent_futures, loky's
// suite and pebble's.
func TestWorkerDies(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for _, tt := range []struct {
		how, signal, traceback string
		code                   int
	}{
		{how: "exit 0", code: 0},
		{how: "exit 7", code: 7},
		{how: "kill", code: -1, signal: "killed"},
		{how: "segv", code: 2, traceback: "SIGSEGV"},
		{how: "panic", code: 2, traceback: "panic: in a goroutine of its own"},
		{how: "fatal", code: 2, traceback: "runtime/maps.fatal"},
	} {
		t.Run(tt.how, func(t *testing.T) {
			before := p.Stats()
			_, err := die.Call(t.Context(), p, tt.how)
			require.ErrorIs(t, err, ErrWorkerDied)
			var died *WorkerDiedError
			require.ErrorAs(t, err, &died)
			assert.Equal(t, "die", died.Func)
			assert.Equal(t, tt.signal, died.Signal)
			assert.Equal(t, tt.code, died.ExitCode)
			assert.Contains(t, died.Traceback, tt.traceback)
			assert.NotZero(t, died.Pid)
			same(t, p, echoInt, 1, 2, 3)
			assert.EqualValues(t, 1, p.Stats().Sub(before).Deaths)
		})
	}
}

// A death fails one task: those that wait are run by others, also by its replacement.
// Seen in loky's suite, where it breaks the whole executor.
func TestDeathFailsOneTask(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			p := start(t, Options{Workers: workers})
			var good []*Future[int]
			var bad []*Future[int]
			for i := range 100 {
				f, err := die.Go(t.Context(), p, "kill")
				require.NoError(t, err)
				bad = append(bad, f)
				f, err = square.Go(t.Context(), p, i)
				require.NoError(t, err)
				good = append(good, f)
				if i >= 19 {
					break
				}
			}
			for i, f := range good {
				y, err := f.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, i*i, y)
			}
			for _, f := range bad {
				_, err := f.Wait(t.Context())
				require.ErrorIs(t, err, ErrWorkerDied)
			}
		})
	}
}

// Every worker is killed where it sleeps, again and again; the pool goes on.
// Seen in loky's suite and in CPython's test_concurrent_futures.
func TestIdleWorkersKilled(t *testing.T) {
	p := start(t, Options{Workers: 3})
	for range 5 {
		for _, w := range p.Workers() {
			if err := syscall.Kill(w.Pid, syscall.SIGKILL); err != nil {
				require.ErrorIs(t, err, syscall.ESRCH) // dead since the last round, and not yet replaced
			}
		}
		same(t, p, echoInt, 1, 2, 3, 4, 5)
	}
}

// A worker that dies while the parent puts a large argument into place does no harm.
// Seen in CPython's test_concurrent_futures and in loky's suite.
func TestDeathWhileArgumentIsWritten(t *testing.T) {
	p := start(t, Options{Workers: 1})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				for _, w := range p.Workers() {
					if w.Ready { // or no worker would ever start
						syscall.Kill(w.Pid, syscall.SIGKILL)
					}
				}
			}
		}
	})
	b := make([]byte, 4<<20)
	died := 0
	for range 40 {
		n, err := count.Call(t.Context(), p, b)
		if err != nil {
			require.ErrorIs(t, err, ErrWorkerDied)
			died++
			continue
		}
		require.Equal(t, len(b), n)
	}
	close(stop)
	wg.Wait()
	t.Logf("%d of 40 calls lost their worker", died)
	same(t, p, echoInt, 1)
	requireNoBlocks(t, p)
}

func init() {
	// A parent whose workers spin, sleep and compute when it is killed.
	programs["doomed parent"] = func() {
		Main()
		p, err := New(Options{Workers: 3, Name: "doomed"})
		if err != nil {
			panic(err)
		}
		go spinForever.Call(context.Background(), p, 0)
		go announce.Call(context.Background(), p, os.Getenv("SHMKIT_TEST_DIR"))
		select {}
	}
}

var spinForever = Func("spin", func(_ context.Context, x int) (int, error) {
	for {
		x++
		if x == -1 {
			return x, nil
		}
	}
})

// announce says by a file that the workers work, and never returns.
var announce = Func("announce", func(_ context.Context, dir string) (int, error) {
	if err := os.WriteFile(filepath.Join(dir, "up"), nil, 0o600); err != nil {
		return 0, err
	}
	select {}
})

// children lists the processes whose parent is pid.
func children(t *testing.T, pid int) []int {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // by thread
	require.NoError(t, err)
	var pids []int
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, field := range strings.Fields(string(data)) {
			child, err := strconv.Atoi(field)
			require.NoError(t, err)
			pids = append(pids, child)
		}
	}
	return pids
}
