//go:build linux && (amd64 || arm64)

package process_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
)

var terminated = make(chan string)

func onTerminate() any {
	process.OnTerminate(func() { terminated <- "once" })
	return nil
}

func init() {
	answers["terminated"] = func() any {
		defer process.OnTerminate(nil)
		return <-terminated
	}
}

func TestTerminateActsOnlyWhenAsked(t *testing.T) {
	c := startChild(t, process.Options{})
	defer c.end()
	c.ping() // signals are caught from before Main on; this is after it
	require.NoError(t, c.Signal(syscall.SIGTERM))
	c.ping()

	c.ask("terminate", new(any))
	require.NoError(t, c.Signal(syscall.SIGTERM))
	var got string
	c.ask("terminated", &got)
	assert.Equal(t, "once", got)

	require.NoError(t, c.Signal(syscall.SIGTERM))
	c.ping()
}

// groupParent is the leader of a process group. Its child talks to the test.
func groupParent() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p, err := serve.Start(process.Options{Files: []*os.File{os.NewFile(3, "in"), os.NewFile(4, "out")}})
	fmt.Println(err)
	os.NewFile(3, "in").Close()
	for range 2 {
		fmt.Println(<-signals)
	}
	<-p.Done()
	fmt.Println(p.ExitCode())
}

func TestSignalsToTheGroupSpareChildren(t *testing.T) {
	in, toChild := pipe(t)
	fromChild, out := pipe(t)
	cmd := program(t, "group")
	cmd.ExtraFiles = []*os.File{in, out}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Wait() // the child ends with its parent, and that with the watchdog
	defer cmd.Process.Kill()
	in.Close()
	lines := bufio.NewScanner(stdout)
	expect := func(line string) {
		t.Helper()
		require.True(t, lines.Scan())
		require.Equal(t, line, lines.Text())
	}
	expect("<nil>")

	c := &child{t: t, in: toChild, from: fromChild, out: json.NewDecoder(fromChild)}
	c.ping()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		require.NoError(t, syscall.Kill(-cmd.Process.Pid, s))
		expect(s.String())
		for range 100 {
			c.ping()
		}
	}
	require.NoError(t, toChild.Close())
	expect("0")
}

func TestSignalMisuse(t *testing.T) {
	c := startChild(t, process.Options{})
	assert.ErrorIs(t, c.Signal(strangeSignal{}), os.ErrInvalid)
	assert.ErrorIs(t, c.Signal(syscall.Signal(1000)), syscall.EINVAL)
	c.end()
	assert.Equal(t, os.ErrProcessDone, c.Signal(os.Interrupt))
	assert.Equal(t, os.ErrProcessDone, c.Kill())
}

type strangeSignal struct{}

func (strangeSignal) Signal()        {}
func (strangeSignal) String() string { return "strange" }
