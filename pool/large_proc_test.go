//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

const hundredMB = 100_000_000

// Large tasks that are cancelled when the first of them is done leave nothing behind.
// Seen in pebble's suite.
func TestCancelLargeTasks(t *testing.T) {
	p := start(t, Options{Workers: 2})
	ctx, cancel := context.WithCancel(t.Context())
	b := make([]byte, hundredMB)
	var fs []*Future[int]
	for range 10 {
		f, err := count.Go(ctx, p, b)
		require.NoError(t, err)
		fs = append(fs, f)
	}
	n, err := fs[0].Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, hundredMB, n)
	cancel()
	for _, f := range fs[1:] {
		n, err := f.Wait(t.Context())
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		} else {
			require.Equal(t, hundredMB, n)
		}
	}
	requireNoBlocks(t, p)
	same(t, p, echoInt, 1)
}

// A pool may be ended while large arguments and results are on their way.
// Seen in pebble's suite and in CPython's test_multiprocessing.
func TestTerminateWithLargeTasks(t *testing.T) {
	for range 3 {
		p := start(t, Options{Workers: 2})
		b := make([]byte, hundredMB)
		ended := make(chan error)
		const calls = 4
		for range calls {
			go func() {
				_, err := echoBytes.Call(t.Context(), p, b)
				ended <- err
			}()
		}
		eventually(t, "a task runs", func() bool { return p.Memory().Count > 0 })
		p.Terminate()
		for range calls {
			if err := receive(t, ended); err != nil {
				require.True(t, errors.Is(err, ErrClosed), "%v", err)
			}
		}
	}
}
