package ring

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
)

// interruptWakers leaves the eventcounts as one does who was killed in the middle of NotifyAll: the mark of those who sleep is gone, and
// nobody has woken them.
func interruptWakers(e *PipeEnd) {
	for d := range e.control.bells {
		b := &e.control.bells[d]
		b.filled.Store((b.filled.Load() + 1) &^ 1)
		b.room.Store((b.room.Load() + 1) &^ 1)
	}
}

// Whoever was to wake a sleeper was killed, or stopped, after it had taken the mark away. The sleeper still learns of the end
// of its context, of its own handle and of the other process, though it sleeps without a bound.
func TestPipeWakerIsKilled(t *testing.T) {
	for name, call := range pipeCalls {
		t.Run(name, func(t *testing.T) {
			for how, wake := range map[string]struct {
				err error
				do  func(t *testing.T, c *pipeChild, e *PipeEnd, cancel func())
			}{
				"its context ends": {context.Canceled, func(_ *testing.T, _ *pipeChild, _ *PipeEnd, cancel func()) { cancel() }},
				"its handle is closed": {os.ErrClosed, func(t *testing.T, _ *pipeChild, e *PipeEnd, _ func()) {
					closed := later(e.Close)
					require.NoError(t, await(t, closed))
				}},
				"the other process dies": {nil, func(t *testing.T, c *pipeChild, _ *PipeEnd, _ func()) { require.NoError(t, c.Process.Kill()) }},
			} {
				t.Run(how, func(t *testing.T) {
					c, e := startPipe(t, "sleep", PipeOptions{Capacity: 1024})
					ctx, cancel := context.WithCancel(patient(t))
					defer cancel()
					_, err := e.Recv(ctx) // the other process has adopted its end
					require.NoError(t, err)
					want := io.EOF
					if name[0] == 'S' {
						c.stop(t)
						want = io.ErrClosedPipe
					}
					if wake.err != nil {
						want = wake.err
					}
					done := blocked(t, e, func() error { return call(ctx, e) })
					require.EqualValues(t, -1, e.patience(), "it sleeps until it is told")
					sys.FutexWait(&never, 0, 5*time.Millisecond) // from its mark to its sleep; if that takes longer the test shows less
					interruptWakers(e)
					wake.do(t, c, e, cancel)
					require.ErrorIs(t, await(t, done), want)
				})
			}
		})
	}
}
