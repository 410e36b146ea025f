//go:build linux && (amd64 || arm64)

package process_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/process"
)

// programEnv makes the test binary one of the programs below, started by os/exec.
const programEnv = "PROCESS_TEST_PROGRAM"

// programs run before or after process.Main, as their names say.
var (
	beforeMain = map[string]func(){"start without Main": startWithoutMain}
	afterMain  = map[string]func(){"first byte": firstByte, "group": groupParent, "no child": noChild,
		"looks": looks, "unprivileged": unprivileged, "detacher": detacher}
)

func TestMain(m *testing.M) {
	program := os.Getenv(programEnv)
	if run := beforeMain[program]; run != nil {
		run()
		return
	}
	process.Main()
	if run := afterMain[program]; run != nil {
		run()
		return
	}
	if program != "" {
		panic("no program " + program)
	}
	// Under the race detector every exit of a child would take a second.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	leak.Main(m, "github.com/shmkit/shmkit/process.spawnLoop")
}

// program is the test binary as an ordinary process that runs one of the programs.
func program(t testing.TB, name string) *exec.Cmd {
	cmd := exec.CommandContext(watchdog(t), "/proc/self/exe")
	cmd.Env = append(os.Environ(), programEnv+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

const patience = 30 * time.Second

func watchdog(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A child answers commands, see answers.
type child struct {
	*process.Process
	t    testing.TB
	in   *os.File
	from *os.File
	out  *json.Decoder
}

var serve = process.NewEntry("serve", func(files []*os.File) {
	lines, out := bufio.NewScanner(files[0]), json.NewEncoder(files[1])
	for lines.Scan() {
		answer := answers[lines.Text()]
		if answer == nil {
			panic("no command " + lines.Text())
		}
		if err := out.Encode(answer()); err != nil {
			panic(err)
		}
	}
})

// startChild starts serve with o, in which files from 2 on are the caller's. The
// test's end kills it.
func startChild(t testing.TB, o process.Options) *child {
	in, toChild := pipe(t)
	fromChild, out := pipe(t)
	o.Files = append([]*os.File{in, out}, o.Files...)
	p, err := serve.Start(o)
	require.NoError(t, err)
	killAtEnd(t, p)
	require.NoError(t, in.Close())
	require.NoError(t, out.Close())
	return &child{Process: p, t: t, in: toChild, from: fromChild, out: json.NewDecoder(fromChild)}
}

// ask makes the child answer a command into v.
func (c *child) ask(command string, v any) {
	c.t.Helper()
	require.NoError(c.t, c.from.SetDeadline(time.Now().Add(patience)))
	_, err := fmt.Fprintln(c.in, command)
	require.NoError(c.t, err)
	require.NoError(c.t, c.out.Decode(v))
}

func (c *child) ping() {
	c.t.Helper()
	var answer string
	c.ask("ping", &answer)
	assert.Equal(c.t, "pong", answer)
}

// end lets the child's function return.
func (c *child) end() {
	c.t.Helper()
	require.NoError(c.t, c.in.Close())
	require.NoError(c.t, c.Wait(watchdog(c.t)))
}

func killAtEnd(t testing.TB, p *process.Process) {
	t.Cleanup(func() {
		_ = p.Kill()
		_ = p.Wait(watchdog(t))
		assert.ErrorIs(t, p.Signal(os.Kill), os.ErrProcessDone)
	})
}

// pipe returns a pipe that the test's end closes.
func pipe(t testing.TB) (r, w *os.File) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}
