package bench

import (
	"fmt"
	"testing"
)

// BenchmarkPoolWork is BenchmarkPool for what programs do beside passing single
// integers. Its patterns begin with Pool as well: -bench Pool/map.
func BenchmarkPoolWork(b *testing.B) {
	b.Run("map", func(b *testing.B) {
		perWorkers(b, mapPool, 1, 2)
		b.Run("channels", mapChannels)
	})
	b.Run("struct", func(b *testing.B) {
		b.Run("plain256", callPlain256)
		b.Run("cbor", callCBOR)
		b.Run("codec-alone", codecAlone)
	})
	b.Run("cold", coldPool)
	b.Run("burn", benchBurn)
	b.Run("parallel", func(b *testing.B) {
		perWorkers(b, parallelPool, 2)
		b.Run("channels", parallelChannels)
	})
	b.Run("start", startPool)
	b.Run("block", benchBlock)
	b.Run("bytes", benchBytes)
	// More processes than processors must not make the whole slower.
	b.Run("scale", func(b *testing.B) {
		perWorkers(b, func(b *testing.B, workers int) {
			b.Run("int", func(b *testing.B) { streamPool(b, workers) })
			b.Run("10us", func(b *testing.B) { burnPool(b, workers, rounds(10_000)) })
		}, 1, 2, 4, 8, 16, 64)
	})
}

// perWorkers runs f once for each number of workers.
func perWorkers(b *testing.B, f func(b *testing.B, workers int), numbers ...int) {
	for _, w := range numbers {
		b.Run(fmt.Sprintf("W=%d", w), func(b *testing.B) { f(b, w) })
	}
}
