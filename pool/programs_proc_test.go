//go:build linux && (amd64 || arm64)

package pool

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A companion is a process that a test has started in order to look at it from outside: a
// parent of its own, whose threads, memory and signals are nobody else's. It says line by
// line what it has reached, and goes on when it is told to.
type companion struct {
	pid   int
	stdin io.WriteCloser
	lines chan string
}

// launch starts one of programs.
func launch(t *testing.T, name string, env ...string) *companion {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, asProgram+"="+name)...)
	return run(t, cmd)
}

// run starts cmd, which ends, at the end of the test, because its standard input does.
func run(t *testing.T, cmd *exec.Cmd) *companion {
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c := &companion{pid: cmd.Process.Pid, stdin: stdin, lines: make(chan string)}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		stdin.Close()
		if t.Failed() {
			cmd.Process.Kill()
		}
		late := time.AfterFunc(watchdog, func() { cmd.Process.Kill() })
		defer late.Stop()
		for range c.lines { // Wait closes the pipe: first all must be read
		}
		err := cmd.Wait()
		assert.True(t, err == nil || t.Failed(), "%v", err)
	})
	return c
}

// hear waits for the program's next line, and takes it apart as fmt.Sscanf does.
func (c *companion) hear(t *testing.T, format string, values ...any) {
	t.Helper()
	line := receive(t, c.lines)
	n, err := fmt.Sscanf(line, format, values...)
	require.NoError(t, err, "the program says %q", line)
	require.Equal(t, len(values), n)
}

// goOn lets the program return from awaitTest.
func (c *companion) goOn(t *testing.T) {
	_, err := c.stdin.Write([]byte{'\n'})
	require.NoError(t, err)
}

// awaitTest blocks a program until its test says goOn, or has ended.
func awaitTest() {
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil && err != io.EOF {
		panic(err)
	}
}

// must ends a program that cannot do its part.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
