package ring

import (
	"context"
	"io"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/internal/owner"
)

// pipeModel runs a pipe beside two lists of messages. No call waits for long: whether one that finds no room has failed, it tells itself.
type pipeModel struct {
	mem    []byte
	self   owner.ID
	ends   [2]*PipeEnd
	closed [2]bool
	queue  [2][]pipeMessage // by direction
	seq    uint64
}

type pipeMessage struct {
	n   int
	seq uint64
}

func (m *pipeModel) side(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "end") }

func (m *pipeModel) TrySend(t *rapid.T) {
	i := m.side(t)
	e := m.ends[i]
	n := rapid.IntRange(0, 60).Draw(t, "bytes")
	empty := !m.closed[i] && e.tx.p.control.head.Load() == e.tx.p.tail() // not so if there are pieces of one that was given up
	ok, err := e.TrySend(message(n, m.seq))
	switch {
	case m.closed[i]:
		require.ErrorIs(t, err, os.ErrClosed)
	case n > e.tx.most:
		require.ErrorIs(t, err, ErrTooLarge)
	case m.closed[1-i]:
		require.ErrorIs(t, err, io.ErrClosedPipe)
	default:
		require.NoError(t, err)
		require.True(t, ok || !empty, "an empty pipe has room")
	}
	if ok {
		m.queue[i] = append(m.queue[i], pipeMessage{n, m.seq})
	}
	m.seq++
}

// Send sends a message in pieces, of which some may find no room.
func (m *pipeModel) Send(t *rapid.T) {
	i := m.side(t)
	n := rapid.IntRange(0, 200).Draw(t, "bytes")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := m.ends[i].Send(ctx, message(n, m.seq))
	switch {
	case err == nil:
		require.False(t, m.closed[0] || m.closed[1])
		m.queue[i] = append(m.queue[i], pipeMessage{n, m.seq})
	case err == context.DeadlineExceeded:
	case m.closed[i]:
		require.ErrorIs(t, err, os.ErrClosed)
	default:
		require.True(t, m.closed[1-i])
		require.ErrorIs(t, err, io.ErrClosedPipe)
	}
	m.seq++
}

func (m *pipeModel) TryRecv(t *rapid.T) {
	i := m.side(t)
	msg, ok, err := m.ends[i].TryRecv()
	m.received(t, i, msg, ok, err)
}

func (m *pipeModel) Poll(t *rapid.T) {
	i := m.side(t)
	ok, err := m.ends[i].Poll(context.Background(), 0)
	if m.open(t, i, ok, err) {
		require.Equal(t, len(m.queue[1-i]) > 0, ok)
	}
}

func (m *pipeModel) received(t *rapid.T, i int, msg []byte, ok bool, err error) {
	if !m.open(t, i, ok, err) {
		return
	}
	queue := m.queue[1-i]
	require.Equal(t, len(queue) > 0, ok)
	if ok {
		requireMessage(t, msg, queue[0].n, queue[0].seq)
		m.queue[1-i] = queue[1:]
	}
}

// open checks what must fail, and reports whether end i can be received from.
func (m *pipeModel) open(t *rapid.T, i int, ok bool, err error) bool {
	switch {
	case m.closed[i]:
		require.ErrorIs(t, err, os.ErrClosed)
	case m.closed[1-i] && len(m.queue[1-i]) == 0:
		require.Equal(t, io.EOF, err)
	default:
		require.NoError(t, err)
		return true
	}
	require.False(t, ok)
	return false
}

// Move has another handle adopt an end, or try to.
func (m *pipeModel) Move(t *rapid.T) {
	i := m.side(t)
	e := m.ends[i]
	if m.closed[i] || e.rx.want > 0 || e.rx.ready && !e.rx.inRing {
		return
	}
	if !e.rx.ready {
		e.release()
	}
	ticket, err := e.offer()
	require.NoError(t, err)
	_, err = e.TrySend(nil)
	require.ErrorIs(t, err, ErrMoved)
	if rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
		e.settle(ticket)
		m.closed[i] = true
		require.ErrorIs(t, new(PipeEnd).redeem(m.mem, i, m.self, ticket), ErrTaken)
		return
	}
	m.ends[i] = new(PipeEnd)
	require.NoError(t, m.ends[i].redeem(m.mem, i, m.self, ticket))
	m.ends[i].state.Store(open)
	require.ErrorIs(t, new(PipeEnd).redeem(m.mem, i, m.self, ticket), ErrTaken)
}

func (m *pipeModel) Close(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "close") > 0 {
		return
	}
	i := m.side(t)
	require.NoError(t, m.ends[i].Close())
	m.closed[i] = true
}

func TestPipeModel(t *testing.T) {
	self, err := owner.Self()
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.SampledFrom([]int{128, 256, 1024}).Draw(t, "capacity")
		pos := rapid.SampledFrom([]uint64{0, 96, math.MaxUint64 - 63}).Draw(t, "position")
		size, _ := pipeSize(capacity, 2)
		m := &pipeModel{mem: aligned(size), self: self}
		require.NoError(t, initPipe(m.mem, capacity, 2, self, pos))
		for i := range m.ends {
			m.ends[i] = heapEnd(t, m.mem, i, self)
		}
		t.Repeat(map[string]func(*rapid.T){
			"try send": m.TrySend, "try receive": m.TryRecv, "send": m.Send, "try receive again": m.TryRecv,
			"poll": m.Poll, "move": m.Move, "close": m.Close,
		})
	})
}
