package ring

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPipeAlone is the cost of the instructions, with no other CPU: a message of 8 bytes sent, and received at the other end by the
// same goroutine, beside a record put into a ring and taken out. The module of benchmarks has the way between processes.
func BenchmarkPipeAlone(b *testing.B) {
	var msg, buf [8]byte
	b.Run("ring", func(b *testing.B) {
		_, p, c := newSPSC(b, defaultPipe, 0)
		for range b.N {
			if ok, err := p.TryPut(msg[:]); !ok || err != nil {
				b.Fatal(ok, err)
			}
			if _, ok, err := c.Peek(); !ok || err != nil {
				b.Fatal(ok, err)
			}
			c.Release()
		}
	})
	b.Run("pipe", func(b *testing.B) {
		ctx := context.Background()
		from, to, err := NewPipe(PipeOptions{})
		require.NoError(b, err)
		b.ReportAllocs()
		for range b.N {
			if err := from.Send(ctx, msg[:]); err != nil {
				b.Fatal(err)
			}
			if _, err := to.RecvAppend(ctx, buf[:0]); err != nil {
				b.Fatal(err)
			}
		}
		require.NoError(b, from.Close())
		require.NoError(b, to.Close())
	})
}
