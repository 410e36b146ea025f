package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The reaper naps for the time in which one in napShare of those in flight will have ended,
// within bounds; below the lower one it does not.
func TestNapFits(t *testing.T) {
	for _, tt := range []struct {
		each        time.Duration
		outstanding int
		want        time.Duration
	}{
		{time.Microsecond, 8 * 100, 100 * time.Microsecond},
		{time.Microsecond, 8 * 50, shortestNap},
		{time.Microsecond, 8*50 - 1, 0},
		{time.Microsecond, 8 * 10_000, longestNap},
		{time.Microsecond, 8 * 10_001, longestNap},
		{time.Second, 1, longestNap},
		{time.Second, 0, 0},
		{0, 1 << 20, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := pace{since: time.Now(), ended: 7, each: tt.each}
			require.Equal(t, tt.want, p.nap(tt.outstanding, 7), "%d tasks that end every %v", tt.outstanding, tt.each)
			require.Equal(t, tt.each, p.each, "none has ended")
		})
	}
}

// It knows nothing of the first tasks' pace, then halves the distance to what it sees with each
// look. A look at which none has ended says nothing, and the next sees only what came since.
func TestPaceFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		var ended uint64
		look := func(passed time.Duration, n uint64) time.Duration {
			<-time.After(passed)
			ended += n
			p.nap(0, ended)
			return p.each
		}
		const us = time.Microsecond
		require.Zero(t, look(time.Hour, 1000))
		require.Equal(t, 4*us, look(80*us, 10))
		require.Equal(t, 6*us, look(80*us, 10))
		require.Equal(t, 6*us, look(time.Hour, 0))
		require.Equal(t, 7*us, look(80*us, 10))
		require.Equal(t, 4*us, look(10*us, 10))
		require.Equal(t, 2*us, look(0, 10))
	})
}
