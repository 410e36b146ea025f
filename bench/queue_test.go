package bench

import (
	"context"
	"testing"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// BenchmarkQueue moves 8-byte items from this process to another, through a queue, as its users see it: contexts, and other
// participants that may come and die. Beside it stands what Go has for two goroutines.
func BenchmarkQueue(b *testing.B) {
	b.Run("each", func(b *testing.B) { withTaker(b, takeEach, putEach) })
	b.Run("batch", func(b *testing.B) { withTaker(b, takeBatches, putBatches) })
	b.Run("channel", channel)
}

// queueBatch is as many items as line-batch publishes together.
const queueBatch = 64

// A taker is what the process is given that takes N items.
type taker struct {
	N     int
	Items *ring.Queue[uint64]
	Back  *ring.PipeEnd // it says there that it begins, and that it has all
}

var (
	takeEach = process.Func("bench take each", func(ctx context.Context, t taker) error {
		must(t.Back.Send(ctx, nil))
		for i := range t.N {
			v, err := t.Items.Get(ctx)
			must(err)
			expectNumber(v, i)
		}
		return t.Back.Send(ctx, nil)
	})
	takeBatches = process.Func("bench take batches", func(ctx context.Context, t taker) error {
		must(t.Back.Send(ctx, nil))
		var items [queueBatch]uint64
		for i := 0; i < t.N; {
			n, err := t.Items.GetBatch(ctx, items[:])
			must(err)
			for _, v := range items[:n] {
				expectNumber(v, i)
				i++
			}
		}
		return t.Back.Send(ctx, nil)
	})
)

func expectNumber(v uint64, i int) {
	if v != uint64(i) {
		panic("wrong item")
	}
}

// withTaker times put, until a process that runs f has taken all.
func withTaker(b *testing.B, f *process.Function[taker], put func(q *ring.Queue[uint64], n int)) {
	q, err := ring.NewQueue[uint64](ring.QueueOptions{Capacity: boardItems})
	must(err)
	mine, theirs := newPipe()
	wait := startPeer(f, taker{b.N, q, theirs})
	hear(mine)
	b.ReportAllocs()
	b.ResetTimer()
	put(q, b.N)
	hear(mine)
	b.StopTimer()
	wait()
	must(mine.Close())
	must(q.Close())
}

// hear waits for a message.
func hear(e *ring.PipeEnd) {
	_, err := e.Recv(context.Background())
	must(err)
}

func putEach(q *ring.Queue[uint64], n int) {
	for i := range n {
		must(q.Put(context.Background(), uint64(i)))
	}
}

func putBatches(q *ring.Queue[uint64], n int) {
	var items [queueBatch]uint64
	for i := 0; i < n; {
		batch := items[:min(queueBatch, n-i)]
		for j := range batch {
			batch[j] = uint64(i + j)
		}
		_, err := q.PutAll(context.Background(), batch)
		must(err)
		i += len(batch)
	}
}

// channel moves as many items through a channel that has room for as many, from one goroutine to another. Both always have
// something to do, so that Go runs each on a processor of its own.
func channel(b *testing.B) {
	items, all := make(chan uint64, boardItems), make(chan struct{})
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		defer close(all)
		for i := range b.N {
			expectNumber(<-items, i)
		}
	}()
	for i := range b.N {
		items <- uint64(i)
	}
	<-all
}
