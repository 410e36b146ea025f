//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func init() {
	// A parent that has done a bit of everything, and then waits for its standard input.
	programs["quiet parent"] = func() {
		Main()
		p := must(New(Options{Workers: 2, Name: "quiet"}))
		for i := range 2000 {
			ctx, cancel := context.WithTimeout(context.Background(), watchdog)
			must(square.Call(ctx, p, i))
			cancel()
			must(square.Go(context.Background(), p, i)) // nobody waits for it
		}
		for _, err := range count.Map(context.Background(), p, slices.Values([][]byte{make([]byte, 1<<20), nil})) {
			must(0, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		block.Call(ctx, p, 1) // a worker watches for its context's end from now on
		cancel()
		runtime.GC()
		fmt.Println("idle")
		awaitTest()
		must(0, p.Close())
	}
}

// A usage is what the kernel has counted of one thread.
type usage struct {
	ran      uint64 // nanoseconds on a processor
	turns    uint64 // on a processor
	switches uint64 // away from it, of its own will or not
}

// usages counts what the threads of all processes have done, by their names. A thread that
// ends meanwhile is left out.
func usages(t *testing.T, processes map[string]int) map[string]usage {
	all := map[string]usage{}
	for name, pid := range processes {
		dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		require.NoError(t, err)
		require.NotEmpty(t, dirs, "%s is gone", name)
		for _, dir := range dirs {
			u, err := usageOf(dir)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
				continue
			}
			require.NoError(t, err)
			all[name+", thread "+filepath.Base(dir)] = u
		}
	}
	return all
}

func usageOf(task string) (u usage, err error) {
	stat, err := os.ReadFile(filepath.Join(task, "schedstat"))
	if err != nil {
		return u, err
	}
	var waited uint64
	if _, err := fmt.Sscan(string(stat), &u.ran, &waited, &u.turns); err != nil {
		return u, err
	}
	status, err := os.ReadFile(filepath.Join(task, "status"))
	for line := range strings.Lines(string(status)) {
		var n uint64
		if _, text, found := strings.Cut(line, "voluntary_ctxt_switches:"); found { // also nonvoluntary
			if _, err := fmt.Sscan(text, &n); err != nil {
				return u, err
			}
			u.switches += n
		}
	}
	return u, err
}

// ranSince says which threads have run, begun or ended since then.
func ranSince(before, now map[string]usage) (who []string) {
	for name, u := range now {
		if was, ok := before[name]; !ok {
			who = append(who, name+" is new")
		} else if u != was {
			who = append(who, fmt.Sprintf("%s ran %d ns in %d turns with %d switches", name, u.ran-was.ran, u.turns-was.turns, u.switches-was.switches))
		}
	}
	for name := range before {
		if _, ok := now[name]; !ok {
			who = append(who, name+" has ended")
		}
	}
	slices.Sort(who)
	return who
}

// settle waits until nothing runs any more: Go's collector gives memory back, and the pool
// looks a last time whether it has been forgotten.
func settle(t *testing.T, processes map[string]int) {
	const step, most = 500 * time.Millisecond, time.Minute
	deadline := time.Now().Add(most)
	for before := usages(t, processes); ; {
		<-time.After(step)
		now := usages(t, processes)
		if maps.Equal(before, now) {
			return
		}
		require.True(t, time.Now().Before(deadline), "after %v still: %v", most, ranSince(before, now))
		before = now
	}
}

// A pool that is left alone costs nothing at all, in its parent as in its workers. The
// kernel's counters show it: a thread that does not get one nanosecond on a processor makes
// no system call and takes no time.
func TestIdlePoolDoesNothing(t *testing.T) {
	t.Parallel() // it mostly waits, for processes of its own
	const window = 10 * time.Second
	parent := launch(t, "quiet parent")
	parent.hear(t, "idle")
	workers := children(t, parent.pid)
	require.Len(t, workers, 2)
	processes := map[string]int{"parent": parent.pid, "worker 0": workers[0], "worker 1": workers[1]}
	// The Go runtime's monitor wakes once a minute in every process that does nothing, and
	// collects garbage every second minute: not the pool's doing. That cannot hit two windows
	// of ten seconds that follow each other.
	for retries := 1; ; retries-- {
		settle(t, processes)
		before := usages(t, processes)
		<-time.After(window)
		who := ranSince(before, usages(t, processes))
		if len(who) == 0 {
			return
		}
		t.Logf("in %v: %s", window, strings.Join(who, "; "))
		require.Positive(t, retries, "somebody runs")
	}
}
