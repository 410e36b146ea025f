package telemetry

import (
	"math"
	"math/bits"
	"structs"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
)

// Buckets are two to an octave, from 128 ns to 2.3 minutes; the first and the last also have what lies beyond. So a quantile is off by
// a fifth at most in between.
const (
	buckets  = 62
	octaves0 = 7 // bits of the first bucket's bound
)

// Histogram counts durations. It has one writer.
type Histogram struct {
	_       structs.HostLayout
	buckets [buckets]atomic.Uint64
	sum     atomic.Uint64 // nanoseconds
	most    atomic.Uint64 // the longest, in nanoseconds
}

const histogramBytes = 4 * layout.Line

var _ = layout.Sized[Histogram](histogramBytes)

// Add counts n durations of d each. Its caller is the only writer.
func (h *Histogram) Add(d time.Duration, n uint64) {
	ns := uint64(max(d, 0))
	Raise(&h.buckets[bucketOf(ns)], n)
	Raise(&h.sum, ns*n)
	if ns > h.most.Load() {
		Show(&h.most, ns)
	}
}

func bucketOf(ns uint64) int {
	if ns < 1<<octaves0 {
		return 0
	}
	top := bits.Len64(ns) - 1
	half := int(ns >> (top - 1) & 1)
	return min(2*(top-octaves0)+half+1, buckets-1)
}

// Bound returns the duration below which those of bucket i lie; those of the last have none.
func Bound(i int) time.Duration {
	if i >= buckets-1 {
		return math.MaxInt64
	}
	return time.Duration((2 + i&1) << (octaves0 - 1 + i/2))
}

// Times is a histogram as it was at one moment.
type Times struct {
	Buckets [buckets]uint64
	Sum     time.Duration
	Most    time.Duration
}

// Read adds what h has to t.
func (t *Times) Read(h *Histogram) {
	for i := range h.buckets {
		t.Buckets[i] += h.buckets[i].Load()
	}
	t.Sum += time.Duration(h.sum.Load())
	t.Most = max(t.Most, time.Duration(min(h.most.Load(), math.MaxInt64)))
}

// Sub takes away what an earlier reading had. Most stays: it is of all times.
func (t *Times) Sub(earlier *Times) {
	for i := range t.Buckets {
		t.Buckets[i] -= earlier.Buckets[i]
	}
	t.Sum -= earlier.Sum
}

// Count returns how many durations there are.
func (t *Times) Count() (n uint64) {
	for _, k := range t.Buckets {
		n += k
	}
	return n
}

// Mean returns their mean, 0 if there are none.
func (t *Times) Mean() time.Duration {
	if n := t.Count(); n > 0 {
		return t.Sum / time.Duration(n)
	}
	return 0
}

// Quantile returns a duration below which the part q of them lie, 0 if there are none: the bound of a bucket, or the longest, if
// that is shorter.
func (t *Times) Quantile(q float64) time.Duration {
	n := t.Count()
	if n == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(n)))
	for i, k := range t.Buckets {
		if k >= rank {
			return min(Bound(i), max(t.Most, 1))
		}
		rank -= k
	}
	return t.Most
}

// HistogramsSize is how many bytes n histograms take.
func HistogramsSize(n int) int64 { return int64(n) * histogramBytes }
