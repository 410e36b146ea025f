//go:build linux && (amd64 || arm64)

package pool

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What went to the workers and came from them is counted to the byte, however it travels.
func TestBytesAreCounted(t *testing.T) {
	p := start(t, Options{Workers: 2})
	o := observe(t, p)
	moved := func() (in, out uint64) {
		c := snapshot(t, o).Counters
		return c.ArgumentBytes, c.ResultBytes
	}
	for range 3 {
		_, err := square.Call(t.Context(), p, 7)
		require.NoError(t, err)
	}
	in, out := moved()
	assert.Equal(t, []uint64{24, 24}, []uint64{in, out}, "one by one")

	n := 0
	for _, err := range square.Map(t.Context(), p, slices.Values(make([]int, 5000))) {
		require.NoError(t, err)
		n++
	}
	in, out = moved()
	assert.Equal(t, []uint64{24 + 5000*8, 24 + 5000*8}, []uint64{in, out}, "%d by the chunk", n)

	large := make([]byte, 100_000)
	same(t, p, echoBytes, large)
	in2, out2 := moved()
	for _, n := range []uint64{in2 - in, out2 - out} {
		assert.InDelta(t, len(large), n, 100, "a large one, and what stands before it")
	}
}
