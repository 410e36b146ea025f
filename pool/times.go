package pool

import (
	"time"

	"github.com/shmkit/shmkit/internal/telemetry"
)

// Times are many durations, counted in buckets of which each ends a third to a half behind the one before.
type Times struct{ t telemetry.Times }

// A Bucket is how many durations were below a bound, and not below that of the bucket before.
type Bucket struct {
	Below time.Duration // the greatest there is, for the last
	Count uint64
}

// Count returns how many durations there are.
func (t *Times) Count() uint64 { return t.t.Count() }

// Total returns their sum.
func (t *Times) Total() time.Duration { return t.t.Sum }

// Mean returns their mean, 0 if there are none.
func (t *Times) Mean() time.Duration { return t.t.Mean() }

// Longest returns the longest, 0 if there are none.
func (t *Times) Longest() time.Duration { return t.t.Most }

// Quantile returns a duration below which the part q of them lie: the bound of a bucket, or the longest if that is less.
func (t *Times) Quantile(q float64) time.Duration { return t.t.Quantile(q) }

// Buckets returns those that are not empty.
func (t *Times) Buckets() (all []Bucket) {
	for i, n := range t.t.Buckets {
		if n > 0 {
			all = append(all, Bucket{telemetry.Bound(i), n})
		}
	}
	return all
}

// Sub returns what has come to an earlier snapshot. Longest stays that of all.
func (t Times) Sub(earlier Times) Times {
	t.t.Sub(&earlier.t)
	return t
}
