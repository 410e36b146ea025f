package bench

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
	"github.com/shmkit/shmkit/shm"
)

const (
	broadcastRecords = 4096
	broadcastBytes   = 56 // what fits into a line
)

// BenchmarkBroadcast writes records that nobody reads, and such that a second process reads at the same time.
func BenchmarkBroadcast(b *testing.B) {
	b.Run("alone", func(b *testing.B) {
		s := newBroadcast()
		write(b, s)
		must(s.Close())
	})
	b.Run("read", func(b *testing.B) {
		s := newBroadcast()
		mine, theirs := newPipe()
		wait := startPeer(listen, listener{b.N, s, theirs})
		hear(mine)
		write(b, s)
		missed, err := mine.Recv(context.Background())
		must(err)
		b.ReportMetric(float64(binary.NativeEndian.Uint64(missed))/float64(b.N), "missed/op")
		wait()
		must(mine.Close())
		must(s.Close())
	})
}

func newBroadcast() *shm.Segment {
	s, err := shm.New("bench broadcast", ring.BroadcastSize(broadcastRecords, broadcastBytes))
	must(err)
	must(s.Reserve(0, s.Size()))
	must(ring.InitBroadcast(s.Bytes(), broadcastRecords, broadcastBytes))
	return s
}

// write writes b.N records, each of which begins with its number.
func write(b *testing.B, s *shm.Segment) {
	w, err := ring.AttachBroadcastWriter(s.Bytes())
	must(err)
	var record [broadcastBytes]byte
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		binary.NativeEndian.PutUint64(record[:], uint64(i))
		w.Write(record[:])
	}
	b.StopTimer()
}

// A listener is what the process is given that reads, until it has the last of N records.
type listener struct {
	N       int
	Records *shm.Segment
	Back    *ring.PipeEnd // it says there that it begins, and how many it has missed
}

var listen = process.Func("bench listen", func(ctx context.Context, l listener) error {
	r, err := ring.AttachBroadcastReader(l.Records.Bytes())
	must(err)
	must(l.Back.Send(ctx, nil))
	var all uint64
	for i := uint64(0); i < uint64(l.N); {
		record, missed, ok := r.Next()
		if !ok {
			sys.Pause(pauses)
			continue
		}
		expect(record, i+missed)
		all += missed
		i += missed + 1
	}
	return l.Back.Send(ctx, binary.NativeEndian.AppendUint64(nil, all))
})
