package ring

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQueueCloseSend(t *testing.T) {
	q := newQueue[int](t, QueueOptions{Capacity: 2})
	p := adopted(t, q)
	require.NoError(t, q.Put(soon(t), 1))
	require.NoError(t, q.Put(soon(t), 2))
	result := make(chan error, 3)
	go func() { result <- q.Put(soon(t), 3) }()
	go func() { _, err := q.PutAll(soon(t), []int{3, 4}); result <- err }()
	eventually(t, "both wait", waits(q))
	require.NoError(t, p.CloseSend())
	require.NoError(t, p.CloseSend())
	assert.ErrorIs(t, <-result, ErrClosed)
	assert.ErrorIs(t, <-result, ErrClosed)
	assert.ErrorIs(t, p.Put(soon(t), 5), ErrClosed)
	for _, want := range []int{1, 2} {
		v, err := q.Get(soon(t))
		require.NoError(t, err)
		require.Equal(t, want, v)
	}
	for range 2 {
		_, err := q.Get(soon(t))
		require.Equal(t, io.EOF, err)
		_, ok, err := p.TryGet()
		require.False(t, ok)
		require.Equal(t, io.EOF, err)
		_, err = p.GetBatch(soon(t), make([]int, 3))
		require.Equal(t, io.EOF, err)
	}
}

// Consumers that wait are told of the end, those too that wait while another reads the last item.
func TestQueueCloseSendWakesConsumers(t *testing.T) {
	q := newQueue[int](t, QueueOptions{Capacity: 2})
	p := adopted(t, q)
	require.NoError(t, q.Put(soon(t), 1))
	last, ok, err := p.ring.Take(1)
	require.True(t, ok)
	require.NoError(t, err)
	result := make(chan error)
	go func() { _, err := q.Get(soon(t)); result <- err }()
	eventually(t, "it waits", waits(q))
	require.NoError(t, p.CloseSend())
	_, err = q.ring.Items().Announce(), error(nil)
	require.NoError(t, err)
	select {
	case err := <-result:
		require.FailNow(t, "the item may still come back", "%v", err)
	default:
	}
	require.NoError(t, p.ring.Release(last))
	require.Equal(t, io.EOF, <-result)
}

func TestQueueWaitsEnd(t *testing.T) {
	q := newQueue[int](t, QueueOptions{Joinable: true, Capacity: 1})
	require.NoError(t, q.Put(soon(t), 1))
	over, cancel := context.WithCancel(context.Background())
	cancel()
	calls := map[string]func(ctx context.Context, q *Queue[int]) error{
		"Put":    func(ctx context.Context, q *Queue[int]) error { return q.Put(ctx, 1) },
		"PutAll": func(ctx context.Context, q *Queue[int]) error { _, err := q.PutAll(ctx, []int{1}); return err },
		"Join":   func(ctx context.Context, q *Queue[int]) error { return q.Join(ctx) },
		"Get":    func(ctx context.Context, q *Queue[int]) error { _, err := q.Get(ctx); return err },
		"GetBatch": func(ctx context.Context, q *Queue[int]) error {
			_, err := q.GetBatch(ctx, make([]int, 1))
			return err
		},
	}
	empty := newQueue[int](t, QueueOptions{Joinable: true, Capacity: 1})
	for name, call := range calls {
		on := q
		if strings.HasPrefix(name, "Get") {
			on = empty
		}
		assert.ErrorIs(t, call(over, on), context.Canceled, name)
		for range 20 {
			ctx, cancel := context.WithCancel(context.Background())
			result := make(chan error)
			go func() { result <- call(ctx, on) }()
			eventually(t, "waits", waits(on))
			cancel()
			require.ErrorIs(t, <-result, context.Canceled, name)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		assert.ErrorIs(t, call(ctx, on), context.DeadlineExceeded, name)
		cancel()

		f, data, _, err := on.Share() // a handle that is closed while somebody waits
		require.NoError(t, err)
		p := new(Queue[int])
		require.NoError(t, p.Adopt(f, data))
		result := make(chan error)
		go func() { result <- call(context.Background(), p) }()
		eventually(t, "waits", waits(p))
		require.NoError(t, p.Close())
		require.ErrorIs(t, <-result, os.ErrClosed, name)
		require.ErrorIs(t, call(context.Background(), p), os.ErrClosed, name)
	}
	v, err := q.Get(soon(t))
	require.NoError(t, err)
	assert.Equal(t, 1, v)
	assert.Zero(t, q.Len(), "no cancelled call has put anything")
}

func TestQueueTaskDoneAndJoin(t *testing.T) {
	q := newQueue[int](t, QueueOptions{Joinable: true, Capacity: 4})
	p := adopted(t, q)
	assert.Panics(t, q.TaskDone)
	require.NoError(t, q.Join(soon(t)), "nothing was ever put")
	joined := make(chan error, 1)
	for i := range 3 {
		require.NoError(t, q.Put(soon(t), i))
	}
	go func() { joined <- q.Join(soon(t)) }()
	eventually(t, "Join waits", waits(q))
	for range 3 {
		_, err := p.Get(soon(t))
		require.NoError(t, err)
	}
	p.TaskDone()
	ok, err := q.ring.finished()
	require.NoError(t, err)
	require.False(t, ok)
	require.Empty(t, joined)
	require.NoError(t, p.Put(soon(t), 9)) // a task makes another
	p.TaskDone()
	p.TaskDone()
	assert.Panics(t, p.TaskDone)
	ok, err = q.ring.finished()
	require.NoError(t, err)
	require.False(t, ok)
	v, err := q.Get(soon(t))
	require.NoError(t, err)
	require.Equal(t, 9, v)
	q.TaskDone()
	require.NoError(t, <-joined)

	require.NoError(t, q.Put(soon(t), 1)) // its consumer leaves with the item
	_, err = p.Get(soon(t))
	require.NoError(t, err)
	go func() { joined <- q.Join(soon(t)) }()
	eventually(t, "Join waits", waits(q))
	require.NoError(t, p.Close())
	require.NoError(t, <-joined)
}

func TestQueueThatIsNotJoinable(t *testing.T) {
	q := newQueue[int](t, QueueOptions{})
	require.NoError(t, q.Put(soon(t), 1))
	_, err := q.Get(soon(t))
	require.NoError(t, err)
	assert.PanicsWithValue(t, "ring: TaskDone of a queue that was not made with QueueOptions.Joinable", q.TaskDone)
	assert.ErrorContains(t, q.Join(soon(t)), "QueueOptions.Joinable")
}
