package ring

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
)

// pipeEnv makes the test binary a process that has one end of a pipe: the name of what it does with it, and what Share has returned.
const pipeEnv = "SHMKIT_RING_TEST_PIPE"

// pipeChildren are what such processes do. What they return is a failure.
var pipeChildren = map[string]func(e *PipeEnd) error{
	"echo": func(e *PipeEnd) error {
		for {
			msg, err := e.Recv(context.Background())
			if err == io.EOF {
				os.Exit(0)
			}
			if err == nil {
				err = e.Send(context.Background(), msg)
			}
			if errors.Is(err, io.ErrClosedPipe) {
				os.Exit(0)
			}
			if err != nil {
				return err
			}
		}
	},
	"sleep": func(e *PipeEnd) error {
		if err := e.Send(context.Background(), nil); err != nil {
			return err
		}
		_, err := e.Recv(context.Background())
		return err
	},
	"large message": func(e *PipeEnd) error {
		if err := e.Send(context.Background(), []byte("whole")); err != nil {
			return err
		}
		return e.Send(context.Background(), make([]byte, 1<<30))
	},
	"messages": func(e *PipeEnd) error {
		for i := uint64(0); ; i++ {
			if err := e.Send(context.Background(), message(int(i*37%700), i)); err != nil {
				return err
			}
		}
	},
	"give away and end": func(e *PipeEnd) error {
		if _, _, _, err := e.Share(); err != nil {
			return err
		}
		os.Exit(0)
		return nil
	},
	"end": func(*PipeEnd) error { os.Exit(0); return nil },
}

// runPipeChild does not return in such a process.
func runPipeChild() {
	name, data, ok := strings.Cut(os.Getenv(pipeEnv), ":")
	if !ok {
		return
	}
	time.AfterFunc(2*time.Minute, func() { panic("the test has forgotten this process") })
	raw, err := hex.DecodeString(data)
	must(err)
	if name == "do not adopt" {
		select {}
	}
	e := new(PipeEnd)
	must(e.Adopt(os.NewFile(3, "pipe"), raw))
	must(pipeChildren[name](e))
	panic("a child of the test has come to its end")
}

// A pipeChild is a process that has one end.
type pipeChild struct {
	*exec.Cmd
	ended func()
}

// startPipe makes a pipe, gives one end to a process, and returns the other one.
func startPipe(t testing.TB, name string, o PipeOptions) (*pipeChild, *PipeEnd) {
	mine, theirs := newPipe(t, o)
	return startWith(t, name, theirs), mine
}

func startWith(t testing.TB, name string, theirs *PipeEnd) *pipeChild {
	f, data, ended := give(t, theirs)
	c := &pipeChild{exec.Command(os.Args[0]), ended}
	c.Env = append(os.Environ(), pipeEnv+"="+name+":"+hex.EncodeToString(data))
	c.ExtraFiles = []*os.File{f}
	c.Stderr = os.Stderr
	require.NoError(t, c.Start())
	t.Cleanup(c.kill)
	return c
}

// kill kills the process, unless it has ended, and settles the end.
func (c *pipeChild) kill() {
	if c.ProcessState == nil {
		_ = c.Process.Kill() // it may have ended by itself
		_ = c.Wait()         // likewise
		c.ended()
	}
}

// stop has the process run no more, and so receive nothing.
func (c *pipeChild) stop(t testing.TB) {
	const stopSignal = 19
	require.NoError(t, c.Process.Signal(sys.Signal(stopSignal)))
}

func TestPipeProcess(t *testing.T) {
	for _, capacity := range []int{128, 0} {
		c, e := startPipe(t, "echo", PipeOptions{Capacity: capacity})
		ctx := patient(t)
		for i, n := range sizesFor(capacity) {
			sent := later(func() error { return e.Send(ctx, message(n, uint64(i))) })
			msg, err := e.Recv(ctx)
			require.NoError(t, err)
			requireMessage(t, msg, n, uint64(i))
			require.NoError(t, await(t, sent))
		}
		require.NoError(t, e.Close())
		require.NoError(t, c.Wait(), "it had io.EOF")
		c.ended()
	}
}

// A process is killed, and whoever waits at the other end is told at once: well before it would look for itself.
func TestPipeProcessIsKilled(t *testing.T) {
	for name, call := range pipeCalls {
		t.Run(name, func(t *testing.T) {
			c, e := startPipe(t, "sleep", PipeOptions{Capacity: 1024})
			ctx := patient(t)
			_, err := e.Recv(ctx) // it has adopted its end
			require.NoError(t, err)
			want := io.EOF
			if name[0] == 'S' {
				c.stop(t)
				want = io.ErrClosedPipe
			}
			done := blocked(t, e, func() error { return call(ctx, e) })
			require.EqualValues(t, -1, e.patience(), "it sleeps until it is told")
			require.NoError(t, c.Process.Kill())
			require.ErrorIs(t, await(t, done), want)
		})
	}
}

// What was wholly sent before a death arrives, and of a message that was not nothing does.
func TestPipeProcessIsKilledInMessage(t *testing.T) {
	c, e := startPipe(t, "large message", PipeOptions{})
	ctx := patient(t)
	msg, err := e.Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, "whole", string(msg))
	done := later(func() error { _, err := e.Recv(ctx); return err })
	require.Eventually(t, func() bool { return e.mine.taken.Load() > 100 }, pipeWatchdog, time.Millisecond) // pieces of it
	require.NoError(t, c.Process.Kill())
	require.Equal(t, io.EOF, await(t, done))
}

// A sender is killed at any moment: each message before is there, whole and in order.
func TestPipeProcessIsKilledWhileItSends(t *testing.T) {
	for round := range 10 {
		c, e := startPipe(t, "messages", PipeOptions{Capacity: 1024 << (round % 3)})
		ctx := patient(t)
		for i := uint64(0); ; i++ {
			if i == uint64(round)*97 {
				c.kill()
			}
			msg, err := e.Recv(ctx)
			if err == io.EOF {
				require.GreaterOrEqual(t, i, uint64(round)*97)
				break
			}
			require.NoError(t, err)
			requireMessage(t, msg, int(i*37%700), i)
		}
	}
}

// An end whose child ends without adopting it, or right after, is closed; so is one that is on its way from a process that ends.
func TestPipeEndIsLostOnItsWay(t *testing.T) {
	for _, name := range []string{"do not adopt", "end", "give away and end"} {
		t.Run(name, func(t *testing.T) {
			c, e := startPipe(t, name, PipeOptions{})
			ctx := patient(t)
			done := blocked(t, e, func() error { _, err := e.Recv(ctx); return err })
			if name == "do not adopt" {
				require.NoError(t, c.Process.Kill())
			}
			_ = c.Wait() // one of them was killed
			if name != "give away and end" {
				c.ended() // the other one learns of that by itself
			}
			require.Equal(t, io.EOF, await(t, done))
			c.ended()
		})
	}
}

// Both ends are with children, and one of them dies: the parent that made the pipe keeps nothing open.
func TestPipeBetweenChildren(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	first, second := startWith(t, "messages", a), startWith(t, "echo", b)
	require.Eventually(t, func() bool {
		return !holding(a.mine.holder.Load()).isTicket() && !holding(b.mine.holder.Load()).isTicket()
	}, pipeWatchdog, time.Millisecond)
	require.NoError(t, first.Process.Kill())
	_ = second.Wait() // by io.EOF, or because the other end is gone
	second.ended()
}

// Seven children at once, each with a pipe on which several goroutines send and one receives: every message comes back once, in its
// sender's order.
func TestPipeEightProcesses(t *testing.T) {
	const children, senders, messages = 7, 3, 60
	var all sync.WaitGroup
	for range children {
		c, e := startPipe(t, "echo", PipeOptions{Capacity: 512})
		ctx := patient(t)
		for s := range uint64(senders) {
			all.Go(func() {
				for n := range uint64(messages) {
					id := s<<32 | n
					msg := append(binary.NativeEndian.AppendUint64(nil, id), message(int(n*n%700), id)...)
					if !assert.NoError(t, e.Send(ctx, msg)) {
						return
					}
				}
			})
		}
		all.Go(func() {
			var next [senders]uint64
			for range senders * messages {
				msg, err := e.Recv(ctx)
				if !assert.NoError(t, err) {
					return
				}
				id := binary.NativeEndian.Uint64(msg)
				s, n := id>>32, id&(1<<32-1)
				assert.Equal(t, next[s], n, "sender %d", s)
				assert.True(t, bytes.Equal(message(int(n*n%700), id), msg[8:]), "torn")
				next[s] = n + 1
			}
			assert.NoError(t, e.Close())
			assert.NoError(t, c.Wait(), "it had io.EOF")
			c.ended()
		})
	}
	all.Wait()
}
