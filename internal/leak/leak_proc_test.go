package leak_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/internal/sys"
)

// actEnv tells a child of this test binary which of the acts its only test does.
const actEnv = "SHMKIT_LEAK_ACT"

// The acts, and what leak.Main must say about each, one pattern a line and no line
// more; none is a run without a leak.
var acts = map[string]struct {
	do   func() error
	want []string
}{
	"nothing":    {func() error { return nil }, nil},
	"tidy":       {tidy, nil},
	"netpoller":  {usePipe, nil},
	"lasting":    {func() error { go lasting(); return nil }, nil},
	"goroutine":  {func() error { go blocked(); return nil }, []string{`found unexpected goroutines:(?s).*leak_test\.blocked`}},
	"futex":      {func() error { go inFutex(); return nil }, []string{`found unexpected goroutines:(?s).*leak_test\.inFutex`}},
	"descriptor": {leaveFile, []string{`file descriptor \d+: /dev/null`}},
	"pipe":       {leavePipe, []string{`file descriptor \d+: pipe:\[\d+\]`, `file descriptor \d+: pipe:\[\d+\]`}},
	"memfd":      {leaveMemfd, []string{`file descriptor \d+: /memfd:shmkit:left`}},
	"mapping":    {leaveMapping, []string{`mapping /memfd:shmkit:left \(deleted\) at [0-9a-f]+-[0-9a-f]+`}},
	"child":      {leaveChild, []string{`child process \d+ started at tick \d+ \(\w.*, state [RSD]\)`, `file descriptor \d+: .*pidfd`}},
	"zombie":     {leaveZombie, []string{`child process \d+ started at tick \d+ \(\w.*, state Z\)`}},
	"shm":        {leaveShm, []string{`file /dev/shm/shmkit-test-\d+-left`}},
}

func TestMain(m *testing.M) {
	switch act := os.Getenv(actEnv); act {
	case "":
	case "wait":
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	default:
		// What is left by an act never goes away: no need for patience.
		if acts[act].want != nil {
			leak.SetPatience(200 * time.Millisecond)
		}
	}
	leak.Main(m, "github.com/shmkit/shmkit/internal/leak_test.lasting")
}

// TestAct is the test that a child runs.
func TestAct(t *testing.T) {
	switch act := os.Getenv(actEnv); act {
	case "":
	case "fail":
		require.NoError(t, leaveFile())
		t.Fatal("as it was told")
	default:
		require.NoError(t, acts[act].do())
	}
}

func TestMainFindsEachLeak(t *testing.T) {
	for _, act := range slices.Sorted(maps.Keys(acts)) {
		t.Run(act, func(t *testing.T) {
			out, code := runAct(t, act, "-test.run=^TestAct$")
			want := acts[act].want
			if want == nil {
				assert.Zero(t, code, "%s", out)
				return
			}
			assert.Equal(t, 1, code)
			_, told, found := strings.Cut(out, "leak: the tests passed, but 200ms later these are still there:\n")
			require.True(t, found, "%s", out)
			assert.Regexp(t, `^\t`+strings.Join(want, `.*\n\t`), told)
			if !strings.Contains(told, "goroutines") {
				assert.Equal(t, len(want), strings.Count(told, "\n"), "a line more is a false one: %s", told)
			}
		})
	}
}

func TestMainKeepsTheExitCode(t *testing.T) {
	_, code := runAct(t, "nothing", "-test.run=^NoSuchTest$")
	assert.Zero(t, code, "a filter that matches nothing")
	out, code := runAct(t, "fail", "-test.run=^TestAct$")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "as it was told")
	assert.NotContains(t, out, "leak:", "a failed run is not looked at")
}

// runAct runs this test binary's TestAct in a process of its own.
func runAct(t *testing.T, act string, args ...string) (out string, code int) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), actEnv+"="+act, "GORACE=atexit_sleep_ms=0") // it would end a second later
	stdin, err := cmd.StdinPipe()                                              // a process that the act leaves behind waits for its end
	require.NoError(t, err)
	alive, w, err := os.Pipe() // ends when the last process that has w does
	require.NoError(t, err)
	defer alive.Close()
	cmd.ExtraFiles = []*os.File{w}
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	require.NoError(t, ctx.Err())
	stdin.Close()
	w.Close()
	require.NoError(t, alive.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, err = io.Copy(io.Discard, alive)
	require.NoError(t, err, "a process stayed behind")
	if strings.Contains(text.String(), "DATA RACE") {
		t.Error(text.String())
	}
	os.Remove(fmt.Sprintf("/dev/shm/shmkit-test-%d-left", cmd.Process.Pid)) // if that was the act
	return text.String(), cmd.ProcessState.ExitCode()
}

func lasting() { select {} }
func blocked() { select {} }

func inFutex() {
	var word atomic.Uint32
	sys.FutexWait(&word, 0, -1)
}

func usePipe() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	return errors.Join(r.Close(), w.Close())
}

// tidy does once, in order, what the others leave behind.
func tidy() error {
	f, err := sys.Memfd("shmkit:tidy", 1)
	if err != nil {
		return err
	}
	m, err := mmap.MapRegion(f, 1, mmap.RDWR, 0, 0)
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0], "-test.run=^NoSuchTest$")
	cmd.Env = append(os.Environ(), actEnv+"=nothing")
	return errors.Join(cmd.Run(), m.Unmap(), f.Close())
}

var kept any // what must not be collected, and with that closed

func leaveFile() error {
	f, err := os.Open(os.DevNull)
	kept = f
	return err
}

func leavePipe() error {
	r, w, err := os.Pipe()
	kept = []*os.File{r, w}
	return err
}

func leaveMemfd() error {
	f, err := sys.Memfd("shmkit:left", 1)
	kept = f
	return err
}

func leaveMapping() error {
	f, err := sys.Memfd("shmkit:left", 1)
	if err != nil {
		return err
	}
	_, err = mmap.MapRegion(f, 1, mmap.RDWR, 0, 0)
	return errors.Join(err, f.Close())
}

func leaveShm() error {
	return os.WriteFile(fmt.Sprintf("/dev/shm/%sleft", leak.NamePrefix()), nil, 0o600)
}

// leaveChild leaves a process that ends when its standard input does. It keeps
// descriptor 3 open until then, see runAct.
func leaveChild() error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), actEnv+"=wait")
	cmd.Stdin = os.Stdin
	cmd.ExtraFiles = []*os.File{os.NewFile(3, "alive")}
	kept = cmd
	return cmd.Start()
}

func leaveZombie() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), actEnv+"=wait") // for the end of /dev/null
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.Close()
	_, err = io.Copy(io.Discard, r) // until the child is gone, but for its entry
	return errors.Join(err, r.Close(), cmd.Process.Release())
}
