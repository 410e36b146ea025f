//go:build linux && (amd64 || arm64)

package process_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
)

// strangerEnv is set in children that are not to know the entry "stranger".
const strangerEnv = "PROCESS_TEST_STRANGER"

var stranger = func() *process.Entry {
	if os.Getenv(strangerEnv) != "" {
		return nil
	}
	return process.NewEntry("stranger", func([]*os.File) {})
}()

func TestUnknownEntryNeverRunsMain(t *testing.T) {
	stderr, w := pipe(t)
	p, err := stranger.Start(process.Options{Env: []string{strangerEnv + "=1"}, Stderr: w, Stdout: w})
	require.NoError(t, err)
	killAtEnd(t, p)
	require.NoError(t, w.Close())

	var exit *process.ExitError
	require.ErrorAs(t, p.Wait(watchdog(t)), &exit)
	assert.Equal(t, 127, exit.Code)
	assert.ErrorContains(t, exit, `did not start: entry "stranger" is not registered in this process`)
	output, err := io.ReadAll(stderr)
	require.NoError(t, err)
	assert.Regexp(t, `^process: entry "stranger" is not registered in this process: .*\n$`, string(output))
}

func startWithoutMain() {
	_, err := serve.Start(process.Options{})
	fmt.Println(process.Ready(), err)
}

func TestStartNeedsMain(t *testing.T) {
	out, err := program(t, "start without Main").Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), `false start process "serve": process.Main has not run in this program: call it`)
	assert.True(t, process.Ready())
}

// noChild says what an ordinary program sees.
func noChild() {
	_, entry := os.LookupEnv("SHMKIT_ENTRY")
	_, stage := os.LookupEnv("SHMKIT_STAGE")
	fmt.Println("main runs, variable:", entry, stage)
}

// A program that a child starts in a way that keeps the variable is no child itself.
func TestVariableOfAnotherProcessIsDropped(t *testing.T) {
	for _, name := range []string{"SHMKIT_ENTRY", "SHMKIT_STAGE"} {
		cmd := program(t, "no child")
		cmd.Env = append(cmd.Env, name+"=1\nentry \"serve\"\nname \"serve\"\nfiles 0")
		out, err := cmd.Output()
		require.NoError(t, err)
		assert.Equal(t, "main runs, variable: false false\n", string(out))
	}
}

func TestNewEntryMisuse(t *testing.T) {
	run := func([]*os.File) {}
	assert.PanicsWithValue(t, "process: NewEntry with an empty name", func() { process.NewEntry("", run) })
	assert.PanicsWithValue(t, `process: entry "new" has no function`, func() { process.NewEntry("new", nil) })
	assert.PanicsWithValue(t, `process: entry "serve" is registered twice`, func() { process.NewEntry("serve", run) })
	assert.PanicsWithValue(t, `process: entry "late" is registered after Main: no child would know it, `+
		`make it a package-level variable`, func() { process.NewEntry("late", run) })
}

func TestStartRefuses(t *testing.T) {
	closed, _ := pipe(t)
	require.NoError(t, closed.Close())
	file := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, tt := range map[string]struct {
		o    process.Options
		is   error
		text string
	}{
		"name":        {process.Options{Name: "a\x00b"}, os.ErrInvalid, `name "a\x00b" holds a zero byte`},
		"environment": {process.Options{Env: []string{"A=1", "B"}}, os.ErrInvalid, `environment entry "B" is not key=value`},
		"no key":      {process.Options{Env: []string{"=B"}}, os.ErrInvalid, `environment entry "=B" is not key=value`},
		"nil file":    {process.Options{Files: []*os.File{os.Stdout, nil}}, os.ErrInvalid, "file 1 is nil"},
		"closed file": {process.Options{Files: []*os.File{closed}}, nil, "pass |0: use of closed file"},
		"niceness":    {process.Options{Nice: 20}, os.ErrInvalid, "niceness 20: it must be between -20 and 19"},
		"urgency":     {process.Options{Nice: -21}, os.ErrInvalid, "niceness -21: it must be"},
		"no such CPU": {process.Options{CPUs: []int{0, 1023}}, os.ErrInvalid, "CPU 1023 does not exist or is offline: online are 0"},
		"large CPU":   {process.Options{CPUs: []int{1024}}, os.ErrInvalid, "CPU 1024: it must be between 0 and 1023"},
		"CPU below 0": {process.Options{CPUs: []int{-1}}, os.ErrInvalid, "CPU -1: it must be between"},
		"no such dir": {process.Options{Dir: file + "s"}, fs.ErrNotExist, "change directory: stat"},
		"no dir":      {process.Options{Dir: file}, nil, "change directory to " + file + ": not a directory"},
		"environment too large": {process.Options{Env: []string{"A=" + strings.Repeat("x", 1<<20)}}, syscall.E2BIG,
			"fork and exec /proc/self/exe"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := serve.Start(tt.o)
			require.Nil(t, p)
			assert.ErrorContains(t, err, `start process "serve": `+tt.text)
			if tt.is != nil {
				assert.ErrorIs(t, err, tt.is)
			}
		})
	}
}

func TestFirstStageFailureReachesWait(t *testing.T) {
	big := strings.Repeat("x", 100_000)
	for name, tt := range map[string]struct {
		o    process.Options
		is   error
		text string
	}{
		"limit above its maximum": {process.Options{Limits: []process.Limit{{Resource: syscall.RLIMIT_NOFILE, Cur: 2, Max: 1}}},
			syscall.EINVAL, "did not start: set limit 7 to 2 (maximum 1): invalid argument"},
		"limit of nothing": {process.Options{Limits: []process.Limit{{Resource: 4711}}},
			syscall.EINVAL, "did not start: set limit 4711 to 0 (maximum 0): invalid argument"},
		// A quarter of the stack limit bounds arguments and environment.
		"exec": {process.Options{Env: []string{"A=" + big, "B=" + big}, Limits: []process.Limit{
			{Resource: syscall.RLIMIT_STACK, Cur: 64 << 10, Max: 64 << 10}}},
			syscall.E2BIG, "did not start: exec /proc/self/exe: argument list too long"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := serve.Start(tt.o)
			require.NoError(t, err)
			killAtEnd(t, p)
			err = p.Wait(watchdog(t))
			var exit *process.ExitError
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, 126, exit.Code)
			assert.True(t, errors.Is(err, tt.is), "%v", err)
			assert.ErrorContains(t, err, tt.text)
		})
	}
}
