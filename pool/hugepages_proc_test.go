//go:build linux && (amd64 || arm64)

package pool

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Huge pages serve like small ones where the machine has some; where it has none, New says what to do.
func TestHugePages(t *testing.T) {
	for kind, advice := range map[HugePages]string{
		TransparentHugePages: "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
		ReservedHugePages:    "nr_hugepages",
	} {
		p, err := New(Options{Workers: 1, Memory: 8 << 20, HugePages: kind})
		if err != nil {
			require.ErrorContains(t, err, advice)
			require.Nil(t, p)
			continue
		}
		for _, n := range []int{1, 1000, 100_000} {
			b, err := NewBlock[float64](t.Context(), p, n)
			require.NoError(t, err)
			b.Slice()[n-1] = 5
			out, err := echoBlock.Call(t.Context(), p, b)
			require.NoError(t, err)
			assert.Equal(t, 5.0, out.Slice()[n-1])
			out.Release()
			same(t, p, echoBytes, make([]byte, n))
		}
		requireNoBlocks(t, p)
		require.NoError(t, p.Close())
	}
	_, err := New(Options{HugePages: 7})
	require.ErrorContains(t, err, "option HugePages is 7")
}
