//go:build linux && (amd64 || arm64)

package pool

import (
	"flag"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	hostileTime = flag.Duration("hostile.time", 2*time.Second, "how long TestHostileSoak goes on")
	hostileSeed = flag.Uint64("hostile.seed", 0, "what TestHostileSoak writes; 0: something new")
)

// One pool suffers all ways of writing over its memory, in any order, for as long as one likes, and the parent's heap stays as it was.
// GODEBUG=gccheckmark=1,clobberfree=1 has the runtime check it, too, and -race the pointers.
func TestHostileSoak(t *testing.T) {
	seed := *hostileSeed
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to write the same again: -hostile.seed=%d", seed)
	rng, p := rand.New(rand.NewPCG(seed, 0)), start(t, besideVandals)
	heap := newHeap(rng)
	committed, files := 0, 0
	ended := suffering(t, p, func() {
		for end := time.Now().Add(*hostileTime); time.Now().Before(end) && !t.Failed(); committed++ {
			commit(t, p, crimes[rng.IntN(len(crimes))], rng.Uint64())
			if committed == 20 {
				files = len(must(os.ReadDir("/proc/self/fd")))
			}
			heap.check(t)
			heap.churn(rng)
		}
	})
	requireRecovers(t, p)
	requireBalanced(t, p)
	heap.check(t)
	require.LessOrEqual(t, estates(t, p), 1, "memory that is left")
	if committed > 20 {
		require.LessOrEqual(t, len(must(os.ReadDir("/proc/self/fd"))), files+20, "descriptors that are left")
	}
	fmt.Printf("hostile: %d crimes, %v, %v\n", committed, ended, p.Stats())
}

// A heap is objects of many sizes that point to each other, with their sums kept apart: what is written into any is seen.
type heap struct {
	seed    maphash.Seed
	objects []*object
	sums    []uint64
}

type object struct {
	next *object
	data []byte
}

func newHeap(rng *rand.Rand) *heap {
	h := &heap{seed: maphash.MakeSeed(), objects: make([]*object, 2000), sums: make([]uint64, 2000)}
	for i := range h.objects {
		h.put(rng, i)
	}
	return h
}

func (h *heap) put(rng *rand.Rand, i int) {
	data := make([]byte, 1<<rng.IntN(13))
	for k := range data {
		data[k] = byte(rng.Uint32())
	}
	h.objects[i] = &object{h.objects[rng.IntN(len(h.objects))], data}
	h.sums[i] = maphash.Bytes(h.seed, data)
}

// churn lets some of them go, so that others lie where they lay.
func (h *heap) churn(rng *rand.Rand) {
	for range 200 {
		i := rng.IntN(len(h.objects))
		h.objects[i].next = nil
		h.put(rng, i)
	}
	runtime.GC()
}

func (h *heap) check(t *testing.T) {
	t.Helper()
	for i, o := range h.objects {
		require.Equal(t, h.sums[i], maphash.Bytes(h.seed, o.data), "object %d of the parent's heap was written to", i)
	}
}
