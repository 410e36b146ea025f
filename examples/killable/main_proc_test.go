package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// procDir is there while there is such a process.
func procDir(pid int) string { return filepath.Join("/proc", strconv.Itoa(pid)) }

// A running is a process that runs the program, and those that it starts.
type running struct {
	*exec.Cmd
	mark   string // in the environment of all of them
	stderr bytes.Buffer
	lines  chan string // of standard output; closed at its end
}

// launch starts a program. At the end of the test all of its processes must be gone.
func launch(t *testing.T, name string, args ...string) *running {
	r := &running{Cmd: exec.Command(name, args...), mark: fmt.Sprintf("%s=%d %s", programEnv, os.Getpid(), t.Name()), lines: make(chan string, 100)}
	r.Env = append(os.Environ(), r.mark, "GORACE=atexit_sleep_ms=0") // it would end a second later
	r.Stderr = &r.stderr
	stdout, err := r.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, r.Start())
	t.Cleanup(func() { r.Process.Kill() }) // if the test has failed
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	return r
}

// end waits for the program, whose output was read, and for its last process.
func (r *running) end(t *testing.T) error {
	err := r.Wait()
	end := time.After(watchdog)
	again := time.NewTicker(time.Millisecond) // they are nobody's children, or init's
	defer again.Stop()
	for left := r.processes(t); len(left) > 0; left = r.processes(t) {
		select {
		case <-end:
			require.FailNow(t, "there are processes left", "%v", left)
		case <-again.C:
		}
	}
	return err
}

// processes lists those that bear the mark.
func (r *running) processes(t *testing.T) (pids []string) {
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, name := range all {
		env, _ := os.ReadFile(name) // nothing, if the process has ended
		if bytes.Contains(env, []byte(r.mark+"\x00")) {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
}

// read returns the rest of the output.
func (r *running) read(t *testing.T) (lines []string) {
	for {
		line, ok := receive(t, r.lines, "the next line")
		if !ok {
			return lines
		}
		lines = append(lines, line)
	}
}

const (
	trialLine = `^(a .*\S) +(pool\.Timeout|context) +context deadline exceeded +(\d+) ms +(\d+) ms +(\d+) ms +(\d+) +(\d+) +[1-9]\d*$`
	phaseLine = `^(before|while|after) +([1-9]\d*) +[1-9]\d*( +\d+\.\d{3} ms){3}$`
)

// assertOutput looks at all that the program prints.
func assertOutput(t *testing.T, lines []string, endlessC int, saysNoC bool) {
	text := strings.Join(lines, "\n")
	next := func() (line string) {
		require.NotEmpty(t, lines, "%s", text)
		line, lines = lines[0], lines[1:]
		return line
	}
	assert.Equal(t, "3 workers, 6 callers of small tasks; what runs away may do so for 400ms, and has 100ms of grace", next())
	assert.Empty(t, next())
	assert.Regexp(t, "^what ran away +limited by ", next())
	for range 2 * (1 + endlessC) {
		assert.Regexp(t, trialLine, next())
	}
	if saysNoC {
		assert.Regexp(t, "^calls of C were not tried: this build has no cgo", next())
	}
	assert.Empty(t, next())
	assert.Regexp(t, "^small tasks +number ", next())
	tasks := 0
	for _, name := range []string{"before", "while", "after"} {
		m := regexp.MustCompile(phaseLine).FindStringSubmatch(next())
		require.NotNil(t, m, "%s", text)
		assert.Equal(t, name, m[1])
		n, err := strconv.Atoi(m[2])
		require.NoError(t, err)
		assert.GreaterOrEqual(t, n, 700)
		tasks += n
	}
	assert.Empty(t, next())
	assert.Regexp(t, fmt.Sprintf(`^%d small tasks had the right result, each exactly once, from \d+ workers$`, tasks), next())
	assert.Empty(t, lines)
}

func TestProgram(t *testing.T) {
	r := launch(t, os.Args[0], "-workers", "3", "-tasks", "700")
	assertOutput(t, r.read(t), endlessC, saysNoC)
	require.NoError(t, r.end(t), "%s", &r.stderr)
	assert.Empty(t, r.stderr.String())
}

// A build without cgo says what it leaves out.
func TestProgramWithoutCgo(t *testing.T) {
	program := filepath.Join(t.TempDir(), "killable")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	r := launch(t, program, "-workers", "3", "-tasks", "700")
	assertOutput(t, r.read(t), 0, true)
	require.NoError(t, r.end(t), "%s", &r.stderr)
	assert.Empty(t, r.stderr.String())
}

// What runs away is gone with the program, also if that had no time to see to it.
func TestProgramIsKilled(t *testing.T) {
	for s, trials := range map[os.Signal]int{os.Interrupt: 1, os.Kill: max(1, 2*endlessC)} { // the next is of the loop in Go; of the one in C, if it is there
		r := launch(t, os.Args[0], "-workers", "2", "-tasks", "1")
		for range 3 + trials {
			_, ok := receive(t, r.lines, "the next line")
			require.True(t, ok, "%s", &r.stderr)
		}
		require.GreaterOrEqual(t, len(r.processes(t)), 2, "the program, and a worker at least")
		require.NoError(t, r.Process.Signal(s))
		r.read(t)
		assert.EqualError(t, r.end(t), "signal: "+s.String())
		assert.Empty(t, r.stderr.String())
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-workers", "1"}, 2, "^killable: -workers is 1: it must be between 2 and 1024\nusage: killable"},
		{[]string{"-workers", "1025"}, 2, "^killable: -workers is 1025"},
		{[]string{"-tasks", "0"}, 2, "^killable: -tasks is 0: it must be between 1 and 4194304\n"},
		{[]string{"-tasks", "4194305"}, 2, "^killable: -tasks is 4194305"},
		{[]string{"-tasks", "x"}, 2, `invalid value "x" for flag -tasks`},
		{[]string{"-none"}, 2, "flag provided but not defined: -none"},
		{[]string{"3"}, 2, `^killable: "3" is no flag`},
		{[]string{"-h"}, 0, "^usage: killable "},
	} {
		var stdout, stderr bytes.Buffer
		assert.Equal(t, c.code, run(c.args, &stdout, &stderr), "%v", c.args)
		assert.Regexp(t, c.want, stderr.String(), "%v", c.args)
		assert.Empty(t, stdout.String(), "%v", c.args)
	}
}

func TestOutputFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	var stderr bytes.Buffer
	assert.Equal(t, 1, run(nil, full, &stderr))
	assert.Regexp(t, "^killable: .*no space left", stderr.String())
}
