//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The programs here run out of something, by limits that they set themselves. Whatever is missing, a pool says so, and goes on
// or ends; nothing of it is left behind.

// belongings lists what a process has that a pool may leave behind.
func belongings() (all []string) {
	for _, fd := range must(os.ReadDir("/proc/self/fd")) {
		// The one that reads the directory is gone by now.
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil {
			all = append(all, fd.Name()+": "+target)
		}
	}
	for line := range strings.Lines(string(must(os.ReadFile("/proc/self/maps")))) {
		if strings.Contains(line, "/memfd:shmkit") {
			all = append(all, line)
		}
	}
	for _, name := range must(filepath.Glob("/proc/self/task/*/children")) {
		for _, child := range strings.Fields(string(must(os.ReadFile(name)))) {
			all = append(all, "child "+child)
		}
	}
	slices.Sort(all)
	return all
}

// mustOwnOnly ends the program unless it has what it had before and no more.
func mustOwnOnly(before []string) {
	if now := belongings(); !slices.Equal(before, now) {
		panic(fmt.Sprintf("there were\n\t%s\nand there are\n\t%s", strings.Join(before, "\n\t"), strings.Join(now, "\n\t")))
	}
	must(0, goleak.Find(goleak.IgnoreAnyFunction("github.com/shmkit/shmkit/process.spawnLoop")))
}

// settleIn lets the runtime and the package take what they keep for good, and returns what the program has then.
func settleIn() []string {
	Main()
	p := must(New(Options{Workers: 2, Memory: 1 << 20}))
	must(square.Call(context.Background(), p, 1))
	must(0, p.Close())
	return belongings()
}

// lower sets a limit until its result is called.
func lower(resource int, to uint64) (restore func()) {
	var was syscall.Rlimit
	must(0, syscall.Getrlimit(resource, &was))
	must(0, syscall.Setrlimit(resource, &syscall.Rlimit{Cur: to, Max: was.Max}))
	return func() { must(0, syscall.Setrlimit(resource, &was)) }
}

// mustFail ends the program unless New fails because of cause.
func mustFail(o Options, cause error) error {
	p, err := New(o)
	if p != nil || !errors.Is(err, cause) {
		panic(fmt.Sprintf("New fails with %v, for lack of %v", err, cause))
	}
	return err
}

// mustServe ends the program unless n calls at a time succeed.
func mustServe(p *Pool, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	errs := make(chan error, n)
	for i := range n {
		go func() {
			y, err := square.Call(ctx, p, i)
			if err == nil && y != i*i {
				err = fmt.Errorf("the square of %d is %d", i, y)
			}
			errs <- err
		}()
	}
	for range n {
		must(0, <-errs)
	}
}

// mustSee waits for what no channel tells.
func mustSee(what string, is func() bool) {
	late := time.After(watchdog)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-late:
			panic("in vain: " + what)
		}
	}
}

func readyWorkers(p *Pool) (n int) {
	for _, w := range p.Workers() {
		if w.Ready {
			n++
		}
	}
	return n
}

// startFailures returns how often some place could not be filled, in a row.
func startFailures(p *Pool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		n = max(n, m.failures)
	}
	return n
}

// mustSurvive ends the program unless a pool that has lost a worker, which cannot be replaced as long as the resource
// is limited, goes on with the other and replaces it afterwards.
func mustSurvive(resource int, limit uint64, cause error) {
	p := must(New(Options{Workers: 2, Memory: 1 << 20}))
	restore := lower(resource, limit)
	_, err := die.Call(context.Background(), p, "kill")
	if !errors.Is(err, ErrWorkerDied) {
		panic(err)
	}
	mustSee("starts fail", func() bool { return startFailures(p) > 2 })
	mustServe(p, 100)
	if n := readyWorkers(p); n != 1 {
		panic(fmt.Sprintf("%d workers are ready, and one can be", n))
	}
	p.mu.Lock()
	for _, m := range p.members {
		if m.failures > 0 && !errors.Is(m.startErr, cause) {
			panic(m.startErr)
		}
	}
	p.mu.Unlock()
	restore()
	mustSee("the worker is replaced", func() bool { return readyWorkers(p) == 2 })
	mustServe(p, 100)
	must(0, p.Close())
}

// mustGiveUp ends the program unless a pool whose workers have died, and that can have no others, says why to its callers.
func mustGiveUp(resource int, limit uint64, cause error) {
	p := must(New(Options{Workers: 2, Memory: 1 << 20}))
	restore := lower(resource, limit)
	for _, w := range p.Workers() {
		must(0, syscall.Kill(w.Pid, syscall.SIGKILL))
	}
	for err := error(nil); !errors.Is(err, cause); { // the first ones may be claimed before the signals arrive
		ctx, cancel := context.WithTimeout(context.Background(), watchdog)
		_, err = square.Call(ctx, p, 1)
		cancel()
		if err != nil && !errors.Is(err, ErrWorkerDied) && !errors.Is(err, cause) {
			panic(err)
		}
	}
	must(0, p.Close())
	restore()
}

// noMore keeps a process from opening files: the standard ones have the numbers below it.
const noMore = 3

func init() {
	// A parent that has fewer descriptors than New takes: none at first, then one more each time.
	programs["few descriptors"] = func() {
		before := settleIn()
		for free := 0; ; free++ {
			restore := lower(syscall.RLIMIT_NOFILE, numbersFor(free))
			p, err := New(Options{Workers: 2, Memory: 1 << 20})
			if err == nil {
				mustServe(p, 10)
				must(0, p.Close())
				restore()
				mustOwnOnly(before)
				fmt.Println("enough", free)
				return
			}
			restore()
			if p != nil || !errors.Is(err, syscall.EMFILE) {
				panic(err)
			}
			mustOwnOnly(before)
		}
	}
	programs["descriptors used up"] = func() {
		before := settleIn()
		mustSurvive(syscall.RLIMIT_NOFILE, noMore, syscall.EMFILE)
		mustGiveUp(syscall.RLIMIT_NOFILE, noMore, syscall.EMFILE)
		mustOwnOnly(before)
		fmt.Println("done")
	}
	// A parent whose address space has no room for what it asks for, and has for less.
	programs["small address space"] = func() {
		before := settleIn()
		restore := lower(syscall.RLIMIT_AS, must(statusNumber("/proc/self/status", "VmSize"))+1<<30)
		fmt.Println(mustFail(Options{Workers: 1, Memory: 4 << 30, Name: "large"}, syscall.ENOMEM))
		mustOwnOnly(before)
		p := must(New(Options{Workers: 2, Memory: 16 << 20}))
		mustServe(p, 100)
		must(0, p.Close())
		restore()
		mustOwnOnly(before)
		fmt.Println("done")
	}
}

// numbersFor returns the limit under which so many files can be opened.
func numbersFor(free int) (limit uint64) {
	for ; ; limit++ {
		if _, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", limit)); err != nil {
			if free == 0 {
				return limit
			}
			free--
		}
	}
}

// With any number of descriptors New succeeds or fails, and leaves none behind.
func TestNewWithFewDescriptors(t *testing.T) {
	t.Parallel() // it looks at processes of its own
	var enough int
	launch(t, "few descriptors").hear(t, "enough %d", &enough)
	require.Greater(t, enough, 5, "the memory, and two for each worker at least")
}

// A parent that has no descriptor left for a replacement goes on with the workers that it has; one that has no worker left
// gives its pool up.
func TestRespawnWithoutDescriptors(t *testing.T) {
	t.Parallel() // it looks at processes of its own
	launch(t, "descriptors used up").hear(t, "done")
}

func TestAddressSpaceTooSmallForMemory(t *testing.T) {
	t.Parallel() // it looks at processes of its own
	c := launch(t, "small address space")
	require.Regexp(t, `^new pool "large": .*map 4\d{9} bytes of "large": cannot allocate memory$`, receive(t, c.lines))
	c.hear(t, "done")
}
