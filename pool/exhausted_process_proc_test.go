//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/process"
)

// onlyThese keeps a process, and all others of its user, from starting processes and threads: there are more of them already.
const onlyThese = 1

// spareThreads makes the Go runtime start threads, and keep them for when it needs some: it ends a process in which it cannot start one.
func spareThreads() {
	const some = 24
	var gate [2]int
	must(0, syscall.Pipe2(gate[:], syscall.O_CLOEXEC))
	var held sync.WaitGroup
	for range some {
		held.Go(func() { // each read blocks a thread
			if n := must(syscall.Read(gate[0], make([]byte, 1))); n != 1 {
				panic("no byte")
			}
		})
	}
	mustSee("threads are started", func() bool { return len(must(os.ReadDir("/proc/self/task"))) > some })
	must(syscall.Write(gate[1], make([]byte, some)))
	held.Wait()
	must(0, errors.Join(syscall.Close(gate[0]), syscall.Close(gate[1])))
}

func init() {
	// A parent that may start neither processes nor threads: before it has a pool, or while it has one.
	programs["processes used up"] = func() {
		spareThreads()
		before := settleIn()
		restore := lower(unix.RLIMIT_NPROC, onlyThese)
		err := mustFail(Options{Workers: 2, Memory: 1 << 20}, syscall.EAGAIN)
		restore()
		mustOwnOnly(before)
		fmt.Println(err)
		mustSurvive(unix.RLIMIT_NPROC, onlyThese, syscall.EAGAIN)
		mustGiveUp(unix.RLIMIT_NPROC, onlyThese, syscall.EAGAIN)
		mustOwnOnly(before)
		fmt.Println("done")
	}
	// A parent with many callers and large data, that may start no thread.
	programs["threads used up"] = func() {
		spareThreads()
		before := settleIn()
		p := must(New(Options{Workers: 2, Memory: 16 << 20}))
		ctx, cancel := context.WithCancel(context.Background())
		waiting := must(block.Go(ctx, p, 1))
		restore := lower(unix.RLIMIT_NPROC, onlyThese)
		mustServe(p, 3000)
		for n, err := range count.Map(context.Background(), p, slices.Values(slices.Repeat([][]byte{make([]byte, 1<<20)}, 50))) {
			if must(n, err) != 1<<20 {
				panic(n)
			}
		}
		cancel()
		if _, err := waiting.Wait(context.Background()); !errors.Is(err, context.Canceled) {
			panic(err)
		}
		must(0, p.Close())
		restore()
		mustOwnOnly(before)
		fmt.Println("done")
	}
	// A parent whose workers may start no thread: a Go program cannot even begin.
	programs["workers without threads"] = func() {
		before := settleIn()
		null := must(os.OpenFile(os.DevNull, os.O_WRONLY, 0)) // tracebacks
		fmt.Println(mustFail(Options{Workers: 2, Memory: 1 << 20, Stderr: null, Limits: []process.Limit{
			{Resource: unix.RLIMIT_NPROC, Cur: onlyThese, Max: onlyThese}}}, ErrWorkerDied))
		must(0, null.Close())
		mustOwnOnly(before)
		fmt.Println("done")
	}
}

// launchLimited starts one of programs as a user for whom the number of processes can be limited: root is exempt.
func launchLimited(t *testing.T, name string) *companion {
	cmd := exec.Command("/proc/self/exe") // other users may not see the way to it
	cmd.Env = append(os.Environ(), asProgram+"="+name)
	if os.Getuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return run(t, cmd)
}

func TestProcessesUsedUp(t *testing.T) {
	t.Parallel() // it looks at processes of its own
	c := launchLimited(t, "processes used up")
	line := receive(t, c.lines)
	if !strings.Contains(line, "start worker ") || !strings.HasSuffix(line, "fork and exec /proc/self/exe: resource temporarily unavailable") {
		t.Fatalf("New fails with %q", line)
	}
	c.hear(t, "done")
}

// However many callers wait, they take no thread.
func TestThreadsUsedUp(t *testing.T) {
	t.Parallel() // it looks at processes of its own
	launchLimited(t, "threads used up").hear(t, "done")
}

func TestWorkersWithoutThreads(t *testing.T) {
	t.Parallel() // it looks at processes of its own
	c := launchLimited(t, "workers without threads")
	if line := receive(t, c.lines); !strings.Contains(line, "exited with status 2") {
		t.Fatalf("New fails with %q", line)
	}
	c.hear(t, "done")
}
