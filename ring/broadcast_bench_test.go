package ring

import (
	"fmt"
	"testing"
)

// BenchmarkBroadcast is what a record costs its writer, beside a copy of the same bytes to the same places by plain stores, which no
// reader could tell from torn ones; and what it costs a reader. Nobody else is there.
func BenchmarkBroadcast(b *testing.B) {
	const records = 1 << 10
	for _, size := range []int{32, 56} {
		rec := make([]byte, size)
		b.Run(fmt.Sprintf("copy/%dB", size), func(b *testing.B) {
			mem := make([]byte, BroadcastSize(records, size))
			stride := 8 * slotWords(size)
			for i := range b.N {
				copy(mem[broadcastSlotsOff+i%records*stride:], rec)
			}
		})
		b.Run(fmt.Sprintf("write/%dB", size), func(b *testing.B) {
			_, w, _ := newBroadcast(b, records, size, 0)
			b.ReportAllocs()
			for range b.N {
				w.Write(rec)
			}
		})
		b.Run(fmt.Sprintf("read/%dB", size), func(b *testing.B) {
			_, w, r := newBroadcast(b, records, size, 0)
			for range records {
				w.Write(rec)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, _, ok := r.Next(); !ok {
					r.pos -= records // the same again
				}
			}
		})
	}
}
