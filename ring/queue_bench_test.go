package ring

import (
	"context"
	"fmt"
	"testing"
)

const queueBatch = 64

func init() {
	queueChildren["bench take"] = onQueue(func(q *Queue[uint64], n int) { takeQueue(q, n) })
	queueChildren["bench take batches"] = onQueue(func(q *Queue[uint64], n int) { takeQueueBatches(q, n) })
}

func takeQueue(q *Queue[uint64], n int) {
	for i := range n {
		v, err := q.Get(context.Background())
		must(err)
		expect(v, uint64(i))
	}
	must(q.CloseSend())
}

func takeQueueBatches(q *Queue[uint64], n int) {
	var items [queueBatch]uint64
	for i := 0; i < n; {
		k, err := q.GetBatch(context.Background(), items[:])
		must(err)
		for _, v := range items[:k] {
			expect(v, uint64(i))
			i++
		}
	}
	must(q.CloseSend())
}

// putQueue puts n numbers, and waits until they were taken.
func putQueue(q *Queue[uint64], n int) {
	for i := range n {
		must(q.Put(context.Background(), uint64(i)))
	}
}

func putQueueBatches(q *Queue[uint64], n int) {
	var items [queueBatch]uint64
	for i := 0; i < n; {
		k := min(queueBatch, n-i)
		for j := range k {
			items[j] = uint64(i + j)
		}
		_, err := q.PutAll(context.Background(), items[:k])
		must(err)
		i += k
	}
}

func newQueue[T any](t testing.TB, o QueueOptions) *Queue[T] {
	t.Helper()
	q, err := NewQueue[T](o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(q.Close()) })
	return q
}

// BenchmarkQueue moves 8-byte items from one process to another, beside what Go has between two goroutines, and beside an
// array with an index that is published for each batch.
func BenchmarkQueue(b *testing.B) {
	for _, tt := range []struct {
		name, child string
		put         func(q *Queue[uint64], n int)
	}{{"each", "bench take", putQueue}, {"batch=64", "bench take batches", putQueueBatches}} {
		b.Run(tt.name, func(b *testing.B) {
			q := newQueue[uint64](b, QueueOptions{Capacity: 4096})
			c := startOn(b, q, tt.child, b.N)
			until(func() bool { return q.ring.table[1].owner.Load() != 0 })
			b.ResetTimer()
			tt.put(q, b.N)
			until(func() bool { return q.ring.Closed() })
			b.StopTimer()
			c.finish(b)
		})
	}
	b.Run("channel", func(b *testing.B) {
		ch, done := make(chan uint64, 4096), make(chan struct{})
		go func() {
			defer close(done)
			for i := range b.N {
				expect(<-ch, uint64(i))
			}
		}()
		for i := range b.N {
			ch <- uint64(i)
		}
		<-done
	})
	b.Run("array=64", func(b *testing.B) { duel(b, benchCapacity, 64, "stream-array", putArray) })
}

// BenchmarkQueueAlone is the cost of the instructions, with no other CPU.
func BenchmarkQueueAlone(b *testing.B) {
	for _, batch := range []int{1, queueBatch} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			q := newQueue[uint64](b, QueueOptions{Capacity: 4096})
			ctx, items := context.Background(), make([]uint64, batch)
			for i := 0; i < b.N; i += batch {
				if batch == 1 {
					must(q.Put(ctx, uint64(i)))
					_, err := q.Get(ctx)
					must(err)
					continue
				}
				_, err := q.PutAll(ctx, items)
				must(err)
				_, err = q.GetBatch(ctx, items)
				must(err)
			}
		})
	}
}
