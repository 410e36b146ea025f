//go:build linux && (amd64 || arm64)

package process_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// A call is what the child of these tests gets: an end, which moves to it.
type call struct {
	Ignore bool // the child ends without a look at the end
	End    *ring.PipeEnd
}

var echo = process.Func("echo", func(ctx context.Context, c call) error {
	for !c.Ignore {
		msg, err := c.End.Recv(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if string(msg) == "die" {
			p, _ := os.FindProcess(os.Getpid())
			return p.Kill()
		}
		if err := c.End.Send(ctx, append(msg, '!')); err != nil {
			return err
		}
	}
	return nil
})

func TestPipeToChild(t *testing.T) {
	ctx := watchdog(t)
	for _, last := range []string{"close", "die"} {
		t.Run(last, func(t *testing.T) {
			a, b, err := ring.NewPipe(ring.PipeOptions{})
			require.NoError(t, err)
			defer func() { require.NoError(t, a.Close()) }()
			p, err := echo.Start(process.Options{}, call{End: b})
			require.NoError(t, err)
			assert.ErrorIs(t, b.Send(ctx, nil), ring.ErrMoved)
			require.NoError(t, b.Close())
			for i := range 100 {
				require.NoError(t, a.Send(ctx, fmt.Append(nil, i)))
				msg, err := a.Recv(ctx)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint(i, "!"), string(msg))
			}
			if last == "close" {
				require.NoError(t, a.Close())
				require.NoError(t, p.Wait(ctx))
				return
			}
			require.NoError(t, a.Send(ctx, []byte("die")))
			_, err = a.Recv(ctx)
			require.Equal(t, io.EOF, err)
			require.ErrorIs(t, a.Send(ctx, nil), io.ErrClosedPipe)
			require.Error(t, p.Wait(ctx))
		})
	}
}

// Nobody keeps a pipe open that nobody has: neither the parent's handle nor that of a child that did not want it, or never was.
func TestPipeToNobody(t *testing.T) {
	ctx := watchdog(t)
	a, b, err := ring.NewPipe(ring.PipeOptions{})
	require.NoError(t, err)
	p, err := echo.Start(process.Options{}, call{Ignore: true, End: b})
	require.NoError(t, err)
	_, err = a.Recv(ctx)
	require.Equal(t, io.EOF, err)
	require.NoError(t, p.Wait(ctx))
	require.NoError(t, a.Close())

	a, b, err = ring.NewPipe(ring.PipeOptions{})
	require.NoError(t, err)
	_, err = echo.Start(process.Options{Dir: "/nowhere"}, call{End: b})
	require.Error(t, err)
	_, err = a.Recv(ctx)
	require.Equal(t, io.EOF, err)
	require.NoError(t, a.Close())
}
