package telemetry

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestBuckets(t *testing.T) {
	assert.Equal(t, 0, bucketOf(0))
	assert.Equal(t, 0, bucketOf(127))
	assert.Equal(t, 1, bucketOf(128))
	assert.Equal(t, 2, bucketOf(192))
	assert.Equal(t, 3, bucketOf(256))
	assert.Equal(t, buckets-1, bucketOf(math.MaxUint64))
	assert.Equal(t, 128*time.Nanosecond, Bound(0))
	for i := 1; i < buckets-1; i++ {
		require.Equal(t, i, bucketOf(uint64(Bound(i-1))), "its least")
		require.Equal(t, i, bucketOf(uint64(Bound(i))-1), "its greatest")
	}
	assert.InDelta(t, 2.29, Bound(buckets-2).Minutes(), 0.01)
}

// A quantile lies in the bucket of the duration that has that rank.
func TestQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 200).Draw(t, "durations")
		q := rapid.Float64Range(0.001, 1).Draw(t, "q")
		var h Histogram
		var sum int64
		for _, d := range durations {
			h.Add(time.Duration(d), 1)
			sum += d
		}
		var times Times
		times.Read(&h)
		slices.Sort(durations)
		exact := durations[int(math.Ceil(q*float64(len(durations))))-1]
		got := times.Quantile(q)
		require.Equal(t, uint64(len(durations)), times.Count())
		require.Equal(t, time.Duration(sum), times.Sum)
		require.Equal(t, time.Duration(durations[len(durations)-1]), times.Most)
		require.GreaterOrEqual(t, got, time.Duration(exact))
		require.LessOrEqual(t, got, max(Bound(bucketOf(uint64(exact))), 1))
	})
}

func TestTimes(t *testing.T) {
	var a, b Histogram
	a.Add(time.Microsecond, 3)
	b.Add(time.Millisecond, 1)
	b.Add(-1, 1)
	var before, all Times
	assert.Zero(t, all.Quantile(0.5))
	assert.Zero(t, all.Mean())
	before.Read(&a)
	all.Read(&a)
	all.Read(&b)
	assert.Equal(t, uint64(5), all.Count())
	assert.Equal(t, time.Millisecond, all.Most)
	all.Sub(&before)
	assert.Equal(t, uint64(2), all.Count())
	assert.Equal(t, time.Millisecond/2, all.Mean())
}
