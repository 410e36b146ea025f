package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A worker looks at once until a row of looks has found something soon.
func TestGatherBegins(t *testing.T) {
	g := newGather()
	for range gatherFrom - 1 {
		g.found(1)
		g.found(0) // a look between two hints breaks no row
		require.Zero(t, g.pause)
	}
	g.late() // a long one does
	for range gatherFrom - 1 {
		g.found(1)
		require.Zero(t, g.pause)
	}
	g.found(1)
	require.Equal(t, gatherLow, g.pause)
}

// While hints come by themselves it pauses longer and longer, until a pause brings
// as many as are enough.
func TestGatherGrows(t *testing.T) {
	g := gather{pause: gatherLow, need: 4 * gatherFrom}
	for _, want := range []time.Duration{2 * gatherLow, 4 * gatherLow, gatherHigh, gatherHigh} {
		g.found(gatherGoal - 1)
		require.Equal(t, min(want, gatherHigh), g.pause)
		require.Equal(t, 4*gatherFrom, g.need)
	}
	g.found(gatherGoal)
	require.Equal(t, gatherHigh, g.pause)
	require.Equal(t, gatherFrom, g.need, "it was worth it")
}

// If too few came in a pause then callers wait for results: it looks at once again, and is slower
// to try the next time.
func TestGatherGivesUp(t *testing.T) {
	g := newGather()
	for _, need := range []int{16, 32, 64, 128, 256, 512, 1024, 1024} {
		require.Equal(t, need, g.need)
		for range need {
			require.Zero(t, g.pause)
			g.found(1)
		}
		require.Equal(t, gatherLow, g.pause)
		g.found(int(gatherLow / gatherGap))
		require.Zero(t, g.pause)
	}
}

// A pause is kept only as long as each of them brings more hints than callers that wait for their
// results can give: so such callers are made to wait by at most one look in gatherFrom.
func TestGatherCostsLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newGather()
		row := 0 // looks that found something since the last pause
		for range rapid.IntRange(1, 500).Draw(t, "looks") {
			paused := g.pause
			n := rapid.IntRange(0, 3).Draw(t, "found")
			late := rapid.Bool().Draw(t, "late")
			g.found(n)
			if n == 0 && late {
				g.late()
			}
			require.Contains(t, []time.Duration{0, gatherLow, 2 * gatherLow, gatherHigh}, g.pause)
			require.LessOrEqual(t, g.need, gatherRest)
			switch {
			case paused != 0 && g.pause != 0:
				require.GreaterOrEqual(t, time.Duration(n)*gatherGap, paused, "as many come without waiting")
			case paused != 0:
				require.Less(t, time.Duration(n)*gatherGap, paused)
				row = 0
			case g.pause != 0:
				require.GreaterOrEqual(t, row+1, gatherFrom)
			case n > 0:
				row++
			}
		}
	})
}

// A worker that gathers waits before it looks.
func TestGatherWaits(t *testing.T) {
	g := gather{pause: 10 * time.Millisecond}
	start := time.Now()
	g.wait()
	require.Greater(t, time.Since(start), time.Millisecond) // a spin is counted in turns, not in time
}
