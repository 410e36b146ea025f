package bench

import (
	"context"
	"encoding/binary"
	"io"
	"testing"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// BenchmarkPipe is messages between two processes, through the ends of a pipe, as its users see it: contexts, boundaries, and a
// peer that may die.
func BenchmarkPipe(b *testing.B) {
	b.Run("roundtrip", func(b *testing.B) {
		withEcho(b, func(e *ring.PipeEnd) {
			for i := range b.N {
				there(e, uint64(i))
			}
		})
	})
	b.Run("cold", func(b *testing.B) {
		withEcho(b, func(e *ring.PipeEnd) { afterQuiet(b, func(i int) { there(e, uint64(i)) }) })
	})
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"1MiB", 1 << 20}, {"64MiB", 64 << 20}} {
		b.Run(size.name, func(b *testing.B) {
			withEcho(b, func(e *ring.PipeEnd) { oneWay(b, e, size.bytes) })
		})
		b.Run("copy-"+size.name, func(b *testing.B) { copyOver(b, size.bytes) })
	}
}

// echo sends short messages back; of longer ones only the last, of which one byte. It ends when the other end is closed.
var echo = process.Func("bench echo", func(ctx context.Context, e *ring.PipeEnd) error {
	var buf []byte
	for {
		var err error
		if buf, err = e.RecvAppend(ctx, buf[:0]); err == io.EOF {
			return nil
		}
		must(err)
		if len(buf) > itemBytes {
			if buf[0] != last {
				continue
			}
			buf = buf[:1]
		}
		must(e.Send(ctx, buf))
	}
})

// last is the first byte of the last message of many.
const last = 1

// withEcho times turns at one end of a pipe whose other end is with a process that echoes.
func withEcho(b *testing.B, turns func(e *ring.PipeEnd)) {
	mine, theirs := newPipe()
	wait := startPeer(echo, theirs)
	there(mine, 0)
	b.ReportAllocs()
	b.ResetTimer()
	turns(mine)
	b.StopTimer()
	must(mine.Close())
	wait()
}

// there sends i and waits until it comes back.
func there(e *ring.PipeEnd, i uint64) {
	var message, reply [itemBytes]byte
	binary.NativeEndian.PutUint64(message[:], i)
	must(e.Send(context.Background(), message[:]))
	back, err := e.RecvAppend(context.Background(), reply[:0])
	must(err)
	expect(back, i)
}

// oneWay sends b.N messages one way, of which the last is answered.
func oneWay(b *testing.B, e *ring.PipeEnd, size int) {
	b.SetBytes(int64(size))
	message := make([]byte, size)
	for i := range b.N {
		if i == b.N-1 {
			message[0] = last
		}
		must(e.Send(context.Background(), message))
	}
	_, err := e.Recv(context.Background())
	must(err)
}

// copyOver copies as many bytes within this process, from one place to another, again and again.
func copyOver(b *testing.B, size int) {
	b.SetBytes(int64(size))
	from, to := make([]byte, size), make([]byte, size)
	copy(to, from) // which gives them memory
	for b.Loop() {
		copy(to, from)
	}
}
