package bench

import (
	"context"
	"testing"
	"time"
)

// quiet is how long nothing happens before each cold call: long enough that everybody
// sleeps, and the processors with them.
const quiet = 100 * time.Millisecond

func coldPool(b *testing.B) {
	ctx, p := context.Background(), newPool(b, 1)
	b.ResetTimer()
	afterQuiet(b, func(i int) {
		y, err := square.Call(ctx, p, i)
		must(err)
		check(b, i, y)
	})
}

// coldFutex is futex-roundtrip with a quiet before each. The kernel places both
// processes as it likes, as it does with those of a pool.
func coldFutex(b *testing.B) {
	duel(b, "sleepy pong", func(s *board, _ uint64) {
		afterQuiet(b, func(i int) {
			wake(&s.bell, uint32(i)+1)
			sleep(&s.reply, uint32(i)+1)
		})
	})
}

// afterQuiet does op b.N times, each after a quiet, and reports the time of op alone. The
// benchmark's own clock includes the quiet, so that b.N stays small.
func afterQuiet(b *testing.B, op func(i int)) {
	var took time.Duration
	for i := range b.N {
		time.Sleep(quiet)
		start := time.Now()
		op(i)
		took += time.Since(start)
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/op")
}
