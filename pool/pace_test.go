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

// It takes the first pace for granted and speeds up at once, if enough tasks have ended to believe it,
// and otherwise halves the distance with each look. It slows down to twice the pace in one look at most.
// A look at which none has ended says nothing, and the next sees only what came since; so it is after a
// pause.
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
		require.Equal(t, 4*us, look(4*us, 1))
		require.Equal(t, 6*us, look(80*us, 10))
		require.Equal(t, 6*us, look(time.Hour, 0))
		require.Equal(t, 12*us, look(time.Hour, 10))
		require.Equal(t, 7*us, look(2*(sureEndings-1)*us, sureEndings-1))
		require.Equal(t, 2*us, look(2*sureEndings*us, sureEndings))
		p.pause()
		require.Equal(t, 2*us, look(time.Hour, 10))
		require.Equal(t, 3*us, look(40*us, 10))
	})
}
