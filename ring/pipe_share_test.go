package ring

import (
	"bytes"
	"context"
	"io"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// give shares an end.
func give(t testing.TB, e *PipeEnd) (f *os.File, data []byte, ended func()) {
	f, data, ended, err := e.Share()
	require.NoError(t, err)
	return f, data, ended
}

// move has another handle of this process adopt an end.
func move(t testing.TB, e *PipeEnd) (moved *PipeEnd, ended func()) {
	f, data, ended := give(t, e)
	moved = new(PipeEnd)
	require.NoError(t, moved.Adopt(f, data))
	t.Cleanup(func() {
		ended()
		require.NoError(t, moved.Close())
	})
	return moved, ended
}

// An end that was given away is of no use any more where it was, and all that was under way arrives where it is now.
func TestPipeMoves(t *testing.T) {
	for _, o := range []PipeOptions{{}, {OneWay: true}, {Capacity: 128}} {
		a, b := newPipe(t, o)
		ctx := patient(t)
		require.NoError(t, b.Send(ctx, []byte("before")))
		f, data, ended := give(t, a)
		for name, call := range pipeCalls {
			require.ErrorIs(t, call(ctx, a), ErrMoved, name)
		}
		_, _, _, err := a.Share()
		require.ErrorIs(t, err, ErrMoved)
		require.NoError(t, a.Close())
		require.NoError(t, b.Send(ctx, []byte("on the way")))

		moved := new(PipeEnd)
		require.NoError(t, moved.Adopt(f, data))
		assert.ErrorIs(t, moved.Adopt(f, data), os.ErrInvalid)
		assert.ErrorIs(t, new(PipeEnd).Adopt(f, data), ErrTaken)
		for _, want := range []string{"before", "on the way"} {
			msg, err := moved.Recv(ctx)
			require.NoError(t, err)
			require.Equal(t, want, string(msg))
		}
		ended()
		ended()
		require.ErrorIs(t, a.Send(ctx, nil), os.ErrClosed)
		if !o.OneWay {
			require.NoError(t, moved.Send(ctx, []byte("and back")))
			msg, err := b.Recv(ctx)
			require.NoError(t, err)
			require.Equal(t, "and back", string(msg))
		}
		again, endedAgain := move(t, moved)
		require.NoError(t, b.Send(ctx, nil))
		_, err = again.Recv(ctx)
		require.NoError(t, err)
		require.NoError(t, again.Close())
		endedAgain()
		require.ErrorIs(t, b.Send(ctx, nil), io.ErrClosedPipe)
	}
}

// Who sleeps while the other end moves has its message from wherever that is then, and its io.EOF.
func TestPipeMovesWhileTheOtherSleeps(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx := patient(t)
	received := make(chan []byte)
	done := later(func() error {
		for {
			msg, err := b.Recv(ctx)
			if err != nil {
				return err
			}
			received <- msg
		}
	})
	e := a
	for range 5 {
		asleep(t, b)
		e, _ = move(t, e)
		require.NoError(t, e.Send(ctx, []byte("hi")))
		require.Equal(t, "hi", string(<-received))
	}
	asleep(t, b)
	require.NoError(t, e.Close())
	require.Equal(t, io.EOF, await(t, done))
}

// An end that nobody adopts is closed, and cannot be adopted any more.
func TestPipeNobodyAdopts(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx := patient(t)
	require.NoError(t, a.Send(ctx, []byte("last words")))
	receive := later(func() error {
		if _, err := b.Recv(ctx); err != nil {
			return err
		}
		_, err := b.Recv(ctx)
		return err
	})
	asleep(t, b)
	f, data, ended := give(t, a)
	copied, err := os.OpenFile("/proc/self/fd/"+itoa(f.Fd()), os.O_RDWR, 0) // what a child would have
	require.NoError(t, err)
	defer copied.Close()
	ended()
	require.Equal(t, io.EOF, await(t, receive))
	require.ErrorIs(t, b.Send(ctx, nil), io.ErrClosedPipe)
	require.ErrorIs(t, a.Send(ctx, nil), os.ErrClosed)
	require.ErrorIs(t, new(PipeEnd).Adopt(copied, data), ErrTaken)
}

func itoa(n uintptr) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// A pipe end that is in use, or holds what would be lost, is not given away.
func TestPipeShareRefuses(t *testing.T) {
	a, b := newPipe(t, PipeOptions{Capacity: 1024})
	ctx := patient(t)
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, call := range []string{"Recv", "Send, large"} {
		done := blocked(t, a, func() error { return pipeCalls[call](short, a) })
		_, _, _, err := a.Share()
		require.ErrorContains(t, err, "in progress")
		if call == "Recv" {
			require.NoError(t, b.Send(ctx, nil))
			require.NoError(t, await(t, done))
			continue
		}
		// Half of what it sends is received.
		ready, err := b.Poll(ctx, time.Nanosecond)
		require.True(t, !ready && err == nil)
		_, _, _, err = b.Share()
		require.ErrorContains(t, err, "large message")
		cancel()
		require.Equal(t, context.Canceled, await(t, done))
	}
	sent := later(func() error { return a.Send(ctx, message(2000, 1)) })
	ready, err := b.Poll(ctx, -1)
	require.True(t, ready && err == nil)
	require.NoError(t, await(t, sent))
	_, _, _, err = b.Share()
	require.ErrorContains(t, err, "large message")
	msg, err := b.Recv(ctx)
	require.NoError(t, err)
	requireMessage(t, msg, 2000, 1)
	_, ended := move(t, b)
	ended()
}

// A message at which somebody has only looked is received once, after the move.
func TestPipePolledMessageMoves(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx := patient(t)
	for i := range 3 {
		require.NoError(t, a.Send(ctx, []byte{byte(i)}))
	}
	msg, err := b.Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, []byte{0}, msg)
	ready, err := b.Poll(ctx, 0)
	require.True(t, ready && err == nil)
	moved, _ := move(t, b)
	for i := range 2 {
		msg, ok, err := moved.TryRecv()
		require.True(t, ok && err == nil)
		require.Equal(t, []byte{byte(i + 1)}, msg)
	}
	_, ok, err := moved.TryRecv()
	require.True(t, !ok && err == nil)
}

// What no end has given is refused, and nothing is changed.
func TestPipeAdoptRefuses(t *testing.T) {
	a, b := newPipe(t, PipeOptions{Capacity: 16 << 10})
	f, data, ended := give(t, a)
	defer ended()
	changed := func(i int, v byte) []byte {
		d := bytes.Clone(data)
		d[i] ^= v
		return d
	}
	ticketAt := len(data) - pipeData
	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":                {nil, os.ErrInvalid},
		"short":                  {data[1:], os.ErrInvalid},
		"long":                   {append(bytes.Clone(data), 0), os.ErrInvalid},
		"no such end":            {changed(len(data)-1, 2), os.ErrInvalid},
		"the other end":          {changed(len(data)-1, 1), ErrTaken},
		"no ticket":              {changed(ticketAt, 1), os.ErrInvalid},
		"another ticket":         {changed(ticketAt+4, 1), ErrTaken},
		"another place":          {changed(0, 128), layout.ErrNotShmkit},
		"a place off the line":   {changed(0, 1), os.ErrInvalid},
		"another size":           {changed(9, 1), layout.ErrSize},
		"beyond the end":         {changed(7, 64), os.ErrInvalid},
		"a size beyond the file": {changed(15, 64), os.ErrInvalid},
	} {
		e := new(PipeEnd)
		require.ErrorIs(t, e.Adopt(f, tt.data), tt.want, name)
		require.ErrorIs(t, e.Send(t.Context(), nil), os.ErrInvalid, name)
	}
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	require.Error(t, new(PipeEnd).Adopt(null, data))
	require.Error(t, new(PipeEnd).Adopt(nil, data))

	// Memory in which somebody has written.
	mem := b.piece.Bytes()
	for _, at := range []int{0, 8, 12, 16, 24, 32, pipeControlSize, pipeControlSize + 8, pipeControlSize + layout.Line} {
		mem[at] ^= 3
		require.Error(t, new(PipeEnd).Adopt(f, data), "byte %d", at)
		mem[at] ^= 3
	}
	e := new(PipeEnd)
	require.NoError(t, e.Adopt(f, data), "nothing was changed")
	require.NoError(t, e.Close())
}

// A word of the holder's that no process can have written names one that is dead.
func TestPipeForgedHolder(t *testing.T) {
	for _, h := range []uint64{1<<64 - 1, 1<<40 | 1<<21, 5<<22 | 1<<22 - 1} {
		a, b := heapPipe(t, 128, 2, 0)
		b.mine.holder.Store(h)
		_, err := a.Recv(patient(t))
		require.Equal(t, io.EOF, err)
		require.ErrorIs(t, a.Send(patient(t), nil), io.ErrClosedPipe)
		require.NoError(t, a.Close())
	}
	// An end on its way from one who is dead, or from nobody.
	a, b := heapPipe(t, 128, 2, 0)
	b.mine.giver.Store(1<<40 | 1<<21)
	b.mine.holder.Store(uint64(ticketOf(5)))
	_, err := a.Recv(patient(t))
	require.Equal(t, io.EOF, err)
	b.mine.giver.Store(0)
	b.mine.holder.Store(uint64(ticketOf(6)))
	ready, err := a.Poll(patient(t), time.Millisecond)
	require.True(t, !ready && err == nil)
	require.NoError(t, a.Close())
}

func TestPipeLayout(t *testing.T) {
	self, err := owner.Self()
	require.NoError(t, err)
	for _, tt := range []struct {
		capacity, rings int
		size            int64
	}{{1, 1, 1024 + 256 + 128}, {129, 2, 1024 + 2*(256+256)}, {1 << 14, 2, 1024 + 2*(256+1<<14)}} {
		size, _ := pipeSize(tt.capacity, tt.rings)
		require.Equal(t, tt.size, size)
		mem := aligned(size)
		require.NoError(t, initPipe(mem, tt.capacity, tt.rings, self, 0))
		require.ErrorContains(t, initPipe(mem[1:], tt.capacity, tt.rings, self, 0), "memory of")
		for _, bad := range [][2]uint64{{64, 1}, {129, 1}, {1 << 31, 2}, {1 << 63, 2}, {128, 0}, {128, 3}, {256, 1}} {
			require.NoError(t, owner.Init(mem, layout.KindPipe, bad[:]...))
			_, err := openPipe(mem)
			require.ErrorIs(t, err, layout.ErrParams, bad)
		}
	}
	for name, want := range map[string]uintptr{"ends": 128, "bells": 896} {
		f, ok := reflect.TypeFor[pipeControl]().FieldByName(name)
		require.True(t, ok)
		assert.Equal(t, want, f.Offset, name)
	}
	for name, want := range map[string]uintptr{"holder": 0, "giver": 8, "tickets": 16, "sent": 128, "taken": 256} {
		f, ok := reflect.TypeFor[pipeEndWords]().FieldByName(name)
		require.True(t, ok)
		assert.Equal(t, want, f.Offset, name)
	}
	tail, ok := reflect.TypeFor[broadcastControl]().FieldByName("tail")
	require.True(t, ok)
	assert.EqualValues(t, 128, tail.Offset)
	assert.False(t, closedEnd.isTicket())
	assert.False(t, holding(self).isTicket())
	assert.True(t, ticketOf(1).isTicket())
}
