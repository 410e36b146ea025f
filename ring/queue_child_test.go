package ring

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
)

// queueEnv names the function that a re-executed test binary runs on a queue that it was given.
const queueEnv = "SHMKIT_RING_TEST_QUEUE"

// queueChildren are those functions, each for queues of one type.
var queueChildren = map[string]func(f *os.File, data []byte, arg int){}

// onQueue makes a function of such a child.
func onQueue[T any](run func(q *Queue[T], arg int)) func(*os.File, []byte, int) {
	return func(f *os.File, data []byte, arg int) {
		q := new(Queue[T])
		must(q.Adopt(f, data))
		run(q, arg)
		must(q.Close())
	}
}

// queueChild runs the function that this process was started for.
func queueChild() {
	name := os.Getenv(queueEnv)
	if name == "" {
		return
	}
	time.AfterFunc(2*time.Minute, func() { panic("the parent forgot this child") })
	data, err := hex.DecodeString(os.Args[1])
	must(err)
	arg, err := strconv.Atoi(os.Args[2])
	must(err)
	queueChildren[name](os.NewFile(3, "queue"), data, arg)
	os.Exit(0)
}

// startOn runs queueChildren[name] on the queue, in a process of its own.
func startOn[T any](t testing.TB, q *Queue[T], name string, arg int) *queueProcess {
	f, data, _, err := q.Share()
	require.NoError(t, err)
	return startQueueChild(t, f, data, name, arg)
}

// startQueueChild runs queueChildren[name] with a file and data, and more files.
func startQueueChild(t testing.TB, f *os.File, data []byte, name string, arg int, more ...*os.File) *queueProcess {
	require.Contains(t, queueChildren, name)
	c := &queueProcess{Cmd: exec.Command(sys.SelfExe, hex.EncodeToString(data), strconv.Itoa(arg)), exited: make(chan error, 1)}
	c.Env = append(os.Environ(), queueEnv+"="+name, "GORACE=atexit_sleep_ms=0")
	c.ExtraFiles = append([]*os.File{f}, more...)
	c.Stderr = &c.stderr
	require.NoError(t, c.Start())
	go func() { c.exited <- c.Wait() }()
	t.Cleanup(func() {
		c.kill()
		assert.NotContains(t, c.stderr.String(), "panic")
	})
	return c
}

type queueProcess struct {
	*exec.Cmd
	stderr bytes.Buffer
	exited chan error
	over   bool
}

// finish waits for the end of a child that ends by itself.
func (c *queueProcess) finish(t testing.TB) {
	t.Helper()
	select {
	case err := <-c.exited:
		c.over = true
		require.NoError(t, err, "stderr: %s", &c.stderr)
	case <-time.After(60 * time.Second):
		require.FailNow(t, "the child does not end")
	}
}

// kill ends it at whatever instruction it is, and tells nobody.
func (c *queueProcess) kill() {
	if !c.over {
		_ = c.Process.Kill()
		<-c.exited
		c.over = true
	}
}

func (c *queueProcess) String() string { return fmt.Sprintf("%d: %s", c.Process.Pid, &c.stderr) }
