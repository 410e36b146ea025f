//go:build linux && (amd64 || arm64)

package process_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
)

// Tests of these start a parent that starts a child that never looks up.
const (
	weakenEnv = "PROCESS_TEST_WEAKEN" // which of the two bonds the child cuts
	leaveEnv  = "PROCESS_TEST_LEAVE"  // how the parent ends
)

var parent = process.NewEntry("parent", func(files []*os.File) {
	_, err := spin.Start(process.Options{Files: files[1:]})
	if err != nil {
		panic(err)
	}
	files[1].Close()
	_, _ = io.ReadAll(files[0]) // the test's word to end
	switch os.Getenv(leaveEnv) {
	case "return":
	case "exit":
		os.Exit(5)
	case "panic":
		panic("as the test asked")
	case "exec":
		err := syscall.Exec("/bin/true", []string{"true"}, nil)
		panic(err)
	default:
		select {} // to be killed
	}
})

// The death signal belongs to the main thread: spin stays on it where it cuts that.
func init() {
	if os.Getenv(weakenEnv) == "death signal" {
		runtime.LockOSThread()
	}
}

var spin = process.NewEntry("spin", func(files []*os.File) {
	switch os.Getenv(weakenEnv) {
	case "death signal":
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0); err != nil {
			panic(err)
		}
	case "lifeline": // another pipe takes its place, of which this process has the other end
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_NONBLOCK); err != nil {
			panic(err)
		}
		if err := unix.Dup3(ends[0], 3, 0); err != nil {
			panic(err)
		}
	}
	if err := binary.Write(files[0], binary.NativeEndian, value(owner.Self())); err != nil {
		panic(err)
	}
	for { // no system call, no function call
		spun++
	}
})

var spun uint64

// startFamily starts a parent and its spinning child and returns the parent, the word
// to end and the child.
func startFamily(t *testing.T, weaken, leave string) (p *process.Process, word io.Closer, c owner.ID, pidfd *os.File) {
	wait, word := pipe(t)
	r, w := pipe(t)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // traceback
	require.NoError(t, err)
	defer null.Close()
	p, err = parent.Start(process.Options{
		Env:    []string{weakenEnv + "=" + weaken, leaveEnv + "=" + leave},
		Files:  []*os.File{wait, w},
		Stderr: null,
	})
	require.NoError(t, err)
	killAtEnd(t, p)
	require.NoError(t, w.Close())
	require.NoError(t, r.SetDeadline(time.Now().Add(patience)))
	require.NoError(t, binary.Read(r, binary.NativeEndian, &c))
	pidfd, err = c.Open()
	require.NoError(t, err)
	t.Cleanup(func() {
		conn, _ := pidfd.SyscallConn()
		_ = conn.Control(func(fd uintptr) { _ = sys.SendSignal(fd, os.Kill) })
		pidfd.Close()
	})
	require.True(t, c.Alive())
	return p, word, c, pidfd
}

func requireGone(t *testing.T, c owner.ID, pidfd *os.File) {
	t.Helper()
	require.NoError(t, pidfd.SetReadDeadline(time.Now().Add(patience)))
	require.NoError(t, owner.Watch(pidfd))
	assert.False(t, c.Alive())
}

func TestNoChildSurvivesAKilledParent(t *testing.T) {
	for _, weaken := range []string{"", "death signal", "lifeline"} {
		t.Run(strings.TrimSpace("without "+weaken), func(t *testing.T) {
			p, _, c, pidfd := startFamily(t, weaken, "")
			require.NoError(t, p.Kill())
			require.ErrorContains(t, p.Wait(watchdog(t)), "killed")
			requireGone(t, c, pidfd)
		})
	}
}

func TestNoChildSurvivesAParentThatEnds(t *testing.T) {
	for leave, code := range map[string]int{"return": 0, "exit": 5, "panic": 2, "exec": 0} {
		t.Run(leave, func(t *testing.T) {
			p, word, c, pidfd := startFamily(t, "", leave)
			require.NoError(t, word.Close())
			_ = p.Wait(watchdog(t))
			assert.Equal(t, code, p.ExitCode())
			requireGone(t, c, pidfd)
		})
	}
}

// The kernel sends the death signal when the thread ends that started the child.
func TestChildOutlivesTheThreadThatAskedForIt(t *testing.T) {
	started := make(chan *child, 1)
	task := fmt.Sprintf("/proc/self/task/%d", onThreadThatEnds(func() {
		defer close(started)
		started <- startChild(t, process.Options{})
	}))
	for ctx := watchdog(t); ; runtime.Gosched() {
		require.NoError(t, ctx.Err())
		if _, err := os.Stat(task); err != nil {
			break
		}
	}
	c := <-started
	require.NotNil(t, c)
	for range 10 {
		c.ping()
	}
	c.end()
}

// onThreadThatEnds runs f on a thread that ends with it, and returns the thread's
// number. The main thread never ends: it is held back until another one is found.
func onThreadThatEnds(f func()) (tid int) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never undone: the thread ends with the goroutine
		if tid = unix.Gettid(); tid != os.Getpid() {
			f()
			return
		}
		tid = onThreadThatEnds(f)
		runtime.UnlockOSThread()
	}()
	<-done
	return tid
}

func nested() any {
	start := func(ending string) *process.Process {
		return value(end.Start(process.Options{Env: []string{endingEnv + "=" + ending}}))
	}
	p := start("wait")
	err := p.Kill()
	_ = p.Wait(context.Background())
	q := start("exit 3")
	_ = q.Wait(context.Background())
	return fmt.Sprint(err, p.ExitCode(), q.ExitCode())
}
