//go:build linux && (amd64 || arm64)

package process_test

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/process"
)

// leakyDescriptors opens n files as C code may: not close-on-exec.
func leakyDescriptors(t testing.TB, n int) {
	for range n {
		fd, err := syscall.Open("/proc/version", syscall.O_RDONLY, 0)
		require.NoError(t, err)
		t.Cleanup(func() { syscall.Close(fd) })
	}
}

func TestChildHasOnlyWhatWasPassed(t *testing.T) {
	leakyDescriptors(t, 20)
	_, passed := pipe(t)
	c := startChild(t, process.Options{Files: []*os.File{passed, passed}})
	var fds map[string]string
	c.ask("fds", &fds)
	defer c.end()

	self := descriptors()
	same := func(fd int, f *os.File) {
		t.Helper()
		assert.Equal(t, self[fmt.Sprint(f.Fd())], fds[fmt.Sprint(fd)])
	}
	assert.Equal(t, os.DevNull, fds["0"])
	same(1, os.Stdout)
	same(2, os.Stderr)
	same(7, passed)
	same(8, passed)
	for _, fd := range []string{"3", "5", "6"} {
		assert.Contains(t, fds[fd], "pipe:", "lifeline and the pipes of the test")
	}
	// The runtime opens these: epoll, eventfd, and two files with the limit of CPUs.
	runtimes := 0
	for fd, target := range fds {
		if strings.HasPrefix(target, "anon_inode:[event") || strings.HasPrefix(target, "/sys/fs/cgroup/") {
			delete(fds, fd)
			runtimes++
		}
	}
	assert.LessOrEqual(t, runtimes, 4)
	assert.Len(t, fds, 8, "%v", fds)

	var inheritable []string
	c.ask("cloexec", &inheritable)
	slices.Sort(inheritable)
	assert.Equal(t, []string{"0", "1", "2"}, inheritable)
}

func TestPassedFilesKeepTheirMode(t *testing.T) {
	r, _ := pipe(t)
	c := startChild(t, process.Options{Files: []*os.File{r}})
	defer c.end()
	conn, err := r.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, conn.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		assert.NoError(t, err)
		assert.NotZero(t, flags&unix.O_NONBLOCK, "the netpoller of either process needs it")
	}))
}

func TestNothingStaysOpenInTheParent(t *testing.T) {
	first := startEnding(t, "return")
	require.NoError(t, first.Wait(watchdog(t)))
	before := descriptors()
	var kept []*process.Process // from the garbage collector, which closes files
	for range 3 {
		p := startEnding(t, "return")
		require.NoError(t, p.Wait(watchdog(t)))
		kept = append(kept, p)
	}
	assert.Equal(t, len(before), len(descriptors()))
	runtime.KeepAlive(kept)
}

func TestChildEnvironment(t *testing.T) {
	t.Setenv("PROCESS_TEST_KEPT", "parent")
	t.Setenv("PROCESS_TEST_REPLACED", "parent")
	c := startChild(t, process.Options{Env: []string{
		"PROCESS_TEST_REPLACED=first", "PROCESS_TEST_REPLACED=child", "PROCESS_TEST_NEW=a=b", "SHMKIT_ENTRY=forged",
	}})
	defer c.end()
	var env []string
	c.ask("env", &env)

	want := append(os.Environ(), "PROCESS_TEST_NEW=a=b", "PROCESS_TEST_REPLACED=child")
	want = slices.DeleteFunc(want, func(v string) bool { return v == "PROCESS_TEST_REPLACED=parent" })
	assert.ElementsMatch(t, want, env)
}

func TestChildNames(t *testing.T) {
	const name = "a \"long\"\nname:4 worker 3"
	for _, tt := range []struct{ option, args, comm string }{
		{name, name, name[:15]},
		{"", "serve", "serve"},
	} {
		c := startChild(t, process.Options{Name: tt.option})
		var args []string
		c.ask("args", &args)
		assert.Equal(t, []string{tt.args}, args)
		dir := fmt.Sprintf("/proc/%d/", c.Pid())
		assert.Equal(t, tt.args+"\x00", readFile(dir+"cmdline"))
		assert.Equal(t, tt.comm, readFile(dir+"comm"))
		c.end()
	}
}

func TestChildLimits(t *testing.T) {
	c := startChild(t, process.Options{Limits: []process.Limit{
		{Resource: syscall.RLIMIT_NOFILE, Cur: 64, Max: 128},
		{Resource: syscall.RLIMIT_FSIZE, Cur: 1 << 20, Max: 1 << 30},
	}})
	defer c.end()
	c.ping() // the first stage is over
	limits := readFile(fmt.Sprintf("/proc/%d/limits", c.Pid()))
	assert.Regexp(t, `Max file size +1048576 +1073741824 `, limits)
	var open syscall.Rlimit
	c.ask("open", &open)
	assert.Equal(t, syscall.Rlimit{Cur: 64, Max: 128}, open, "the Go runtime raises Cur in programs of its own")
}

func TestChildIsKilledBeforeItsParent(t *testing.T) {
	c := startChild(t, process.Options{})
	defer c.end()
	var score string
	c.ask("oom", &score)
	var self, theirs int
	fmt.Sscan(readFile("/proc/self/oom_score_adj"), &self)
	fmt.Sscan(score, &theirs)
	assert.Equal(t, min(self+300, 1000), theirs)
}

func TestChildDirAndOutput(t *testing.T) {
	dir := t.TempDir()
	stdout, w1 := pipe(t)
	stderr, w2 := pipe(t)
	c := startChild(t, process.Options{Dir: dir, Stdout: w1, Stderr: w2})
	w1.Close()
	w2.Close()
	var got string
	c.ask("dir", &got)
	assert.Equal(t, dir, got)
	c.ask("print", new(any))
	c.end()
	for want, r := range map[string]*os.File{"to stdout": stdout, "to stderr": stderr} {
		output, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, want, string(output))
	}
}

// A child is a parent like any other, with a lifeline of its own.
func TestChildStartsChildren(t *testing.T) {
	c := startChild(t, process.Options{})
	defer c.end()
	var ready bool
	c.ask("ready", &ready)
	assert.True(t, ready)
	var output string
	c.ask("nested", &output)
	assert.Equal(t, "<nil> -1 3", output)
}
