//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// A board is what the workers of a test share: a word for each of what they have done.
type board struct {
	Note    string
	Segment *shm.Segment
	Again   *shm.Segment
}

func (b board) words() *[4]atomic.Int64 { return must(shm.At[[4]atomic.Int64](b.Segment.Bytes(), 0)) }

// onBoard is the worker's own.
var onBoard board

var (
	openBoard = InitFunc("open board", func(_ context.Context, b board) error {
		if b.Segment != b.Again || b.Note != "note" {
			return errors.New("it has not arrived as it was sent")
		}
		onBoard = b
		b.words()[0].Add(1)
		return nil
	})
	leaveBoard = InitFunc("leave board", func(_ context.Context, s *shm.Segment) error {
		board{Segment: s}.words()[1].Add(1)
		return nil
	})
	signBoard = Func("sign board", func(_ context.Context, x int) (int64, error) {
		return onBoard.words()[2].Add(int64(x)), nil
	})
)

// What the arguments of Init and OnExit share, every worker has, those that are started later as well.
func TestInitShares(t *testing.T) {
	s, err := shm.New("board", 4096)
	require.NoError(t, err)
	defer s.Close()
	b := board{Note: "note", Segment: s, Again: s}
	p, err := New(Options{Workers: 2, Init: openBoard.With(b), OnExit: leaveBoard.With(s)})
	require.NoError(t, err)
	for range 10 {
		_, err := signBoard.Call(t.Context(), p, 3)
		require.NoError(t, err)
	}
	require.EqualValues(t, 30, b.words()[2].Load())
	killed := p.Workers()[0].Pid
	require.NoError(t, must(os.FindProcess(killed)).Kill())
	eventually(t, "it was replaced", func() bool { return p.Stats().Workers == 2 && p.Workers()[0].Pid != killed })
	require.NoError(t, p.Close())
	require.EqualValues(t, 3, b.words()[0].Load())
	require.EqualValues(t, 2, b.words()[1].Load())
}

func TestInitSharesWhatIsClosed(t *testing.T) {
	s, err := shm.New("board", 4096)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	for _, o := range []Options{{Init: openBoard.With(board{Segment: s})}, {OnExit: leaveBoard.With(s)}} {
		_, err = New(o)
		require.ErrorIs(t, err, os.ErrClosed)
		require.ErrorContains(t, err, `share segment "board"`)
	}
}
