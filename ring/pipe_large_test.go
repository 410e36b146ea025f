package ring

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const largeSize = 300_000

// roomFor returns "<<" with room for n bytes behind it, and one more that must stay as it is.
func roomFor(n int) []byte {
	buf := make([]byte, 2+n+1)
	copy(buf, "<<")
	buf[2+n] = '>'
	return buf[: 2 : 2+n+1]
}

// A message in pieces goes where the caller has room for it.
func TestPipeLargeIntoBuffer(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx := patient(t)
	buf := roomFor(largeSize)
	for seq := range uint64(3) {
		done := later(func() error { return a.Send(ctx, message(largeSize, seq)) })
		got, err := b.RecvAppend(ctx, buf)
		require.NoError(t, err)
		require.NoError(t, await(t, done))
		require.Same(t, &buf[0], &got[0])
		assert.Equal(t, "<<", string(got[:2]))
		requireMessage(t, got[2:], largeSize, seq)
		assert.EqualValues(t, '>', got[:cap(got)][len(got)])
		require.Nil(t, b.rx.parts, "it is the caller's")
	}
}

// What a call has received in the caller's memory when its context ends stays the pipe's, and the memory the caller's.
func TestPipeLargeInTwoCalls(t *testing.T) {
	a, b := newPipe(t, PipeOptions{Capacity: 1024})
	ctx := patient(t)
	sending, stop := context.WithCancel(ctx)
	defer stop()
	sent := later(func() error { return a.Send(sending, message(largeSize, 5)) })
	buf := roomFor(largeSize)
	for len(b.rx.parts) == 0 { // a context that has ended after the first pieces came
		got, err := b.RecvAppend(&endsLate{Context: ctx, looks: 3}, buf)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, "<<", string(got))
	}
	clear(buf[:cap(buf)])
	got, err := b.RecvAppend(ctx, roomFor(10))
	require.NoError(t, err)
	require.NoError(t, await(t, sent))
	requireMessage(t, got[2:], largeSize, 5)
}

// An endsLate is a context that has ended after some looks.
type endsLate struct {
	context.Context
	looks int
}

func (c *endsLate) Err() error {
	if c.looks--; c.looks < 0 {
		return context.Canceled
	}
	return nil
}

// A sender gives up, and what comes then is received in the same call.
func TestPipeLargeGivenUp(t *testing.T) {
	for _, next := range []int{0, 10, largeSize} {
		a, b := newPipe(t, PipeOptions{Capacity: 1024})
		ctx := patient(t)
		sending, stop := context.WithCancel(ctx)
		sent := later(func() error { return a.Send(sending, message(largeSize, 5)) })
		buf := roomFor(largeSize)
		var got []byte
		received := later(func() (err error) {
			got, err = b.RecvAppend(ctx, buf)
			return err
		})
		stop()
		if err := await(t, sent); err == nil { // it was faster
			require.NoError(t, await(t, received))
			requireMessage(t, got[2:], largeSize, 5)
			continue
		}
		sent = later(func() error { return a.Send(ctx, message(next, 6)) })
		require.NoError(t, await(t, received))
		require.NoError(t, await(t, sent))
		assert.Equal(t, "<<", string(got[:2]))
		requireMessage(t, got[2:], next, 6)
		require.NoError(t, a.Send(ctx, []byte("small")))
		small, err := b.Recv(ctx)
		require.NoError(t, err)
		assert.Equal(t, "small", string(small))
	}
}
