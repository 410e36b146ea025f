package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// program is this test binary as the program.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd, stderr = exec.CommandContext(ctx, os.Args[0], args...), &bytes.Buffer{}
	cmd.Env = append(os.Environ(), programEnv+"=1", "GORACE=atexit_sleep_ms=0") // it would end a second later
	cmd.Stderr = stderr
	return cmd, stderr
}

var line = regexp.MustCompile(`^(\S.*\S) {2,}(\d+\.\d{4}) s +(\d+\.\d\d) GFLOP/s +(\d+) bytes copied   checked$`)

func TestProgram(t *testing.T) {
	for _, c := range []struct {
		n, workers, rows, bands int
		checked                 string
	}{
		{1, 1, 1, 1, "all 1 rows"},
		{67, 2, 9, 8, "all 67 rows"},
		{257, 3, 22, 12, `16 of 257 rows, drawn at random:( \d+){16}`},
	} {
		cmd, stderr := program(t, "-n", strconv.Itoa(c.n), "-workers", strconv.Itoa(c.workers), "-seed", "7")
		out, err := cmd.Output()
		require.NoError(t, err, "%s", stderr)
		assert.Empty(t, stderr.String())
		lines := strings.Split(string(out), "\n")
		require.Len(t, lines, 6, "%s", out)
		assert.Equal(t, fmt.Sprintf("C = A·B: %d x %d, seed 7, %d workers, bands of %d rows", c.n, c.n, c.workers, c.rows), lines[0])
		copied := 8 * (c.bands*c.n*c.n + 3*c.n*c.n)
		assertLine(t, c.n, "processes with blocks", 0, lines[1])
		assertLine(t, c.n, "goroutines", 0, lines[2])
		assertLine(t, c.n, "processes with slices", copied, lines[3])
		assert.Regexp(t, "^checked against the naive product: "+c.checked+"$", lines[4])
		assert.Empty(t, lines[5])
	}
}

func assertLine(t *testing.T, n int, name string, copied int, got string) {
	t.Helper()
	m := line.FindStringSubmatch(got)
	require.NotNil(t, m, "%q", got)
	assert.Equal(t, name, m[1])
	assert.Equal(t, strconv.Itoa(copied), m[4])
	seconds, err := strconv.ParseFloat(m[2], 64)
	require.NoError(t, err)
	rate, err := strconv.ParseFloat(m[3], 64)
	require.NoError(t, err)
	if seconds > 0.001 { // else it is rounded too much
		want := 2 * float64(n*n*n) / seconds / 1e9
		assert.InDelta(t, want, rate, 0.005+want*0.06)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-n", "0"}, 2, "^matmul: -n is 0: it must be between 1 and 16384\nusage: matmul"},
		{[]string{"-n", "16385"}, 2, "^matmul: -n is 16385"},
		{[]string{"-n", "x"}, 2, `invalid value "x" for flag -n`},
		{[]string{"-workers", "-1"}, 2, "^matmul: -workers is -1: it must be between 0 .* and 1024\n"},
		{[]string{"-workers", "1025"}, 2, "^matmul: -workers is 1025"},
		{[]string{"-seed", "-1"}, 2, `invalid value "-1" for flag -seed`},
		{[]string{"-none"}, 2, "flag provided but not defined: -none"},
		{[]string{"512"}, 2, `^matmul: "512" is no flag`},
		{[]string{"-h"}, 0, "^usage: matmul "},
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
	assert.Equal(t, 1, run([]string{"-n", "3"}, full, &stderr))
	assert.Regexp(t, "^matmul: .*no space left", stderr.String())
}

func TestInterrupt(t *testing.T) {
	cmd, stderr := program(t, "-n", "2048")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	assert.EqualError(t, cmd.Wait(), "signal: interrupt")
	assert.Empty(t, stderr.String())
}
