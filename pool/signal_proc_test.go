//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() {
	// A parent with one task that runs until it is told to end, which Close does not do, and calls after that.
	programs["interrupted parent"] = func() {
		Main()
		p := must(New(Options{Workers: 1}))
		CloseOnSignal(p)
		f := must(block.Go(context.Background(), p, 1))
		for slotsThatAre(p, running) == 0 {
			runtime.Gosched()
		}
		fmt.Println("ready")
		for {
			if _, err := square.Go(context.Background(), p, 1); errors.Is(err, ErrClosed) {
				break
			}
		}
		fmt.Println("closing")
		_, err := f.Wait(context.Background())
		fmt.Println(errors.Is(err, ErrClosed))
	}
}

// The first signal closes the pool, which waits for its task; the second ends it at once.
func TestCloseOnSignal(t *testing.T) {
	t.Parallel()
	parent := launch(t, "interrupted parent")
	parent.hear(t, "ready")
	require.NoError(t, syscall.Kill(parent.pid, syscall.SIGINT))
	parent.hear(t, "closing")
	require.NoError(t, syscall.Kill(parent.pid, syscall.SIGTERM))
	parent.hear(t, "true")
}

// Without it, or once it was taken back, signals are the program's own.
func TestCloseOnSignalEnds(t *testing.T) {
	p := start(t, Options{Workers: 1})
	stop := CloseOnSignal(p, syscall.SIGUSR1)
	stop()
	stop()
	same(t, p, echoInt, 1)
	q, err := New(Options{Workers: 1})
	require.NoError(t, err)
	CloseOnSignal(q, syscall.SIGUSR2)
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR2))
	receive(t, q.closed)
	_, err = square.Call(t.Context(), q, 1)
	require.ErrorIs(t, err, ErrClosed)
}
