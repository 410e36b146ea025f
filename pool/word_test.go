package pool

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWordKeepsItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := state(rapid.IntRange(0, int(doomed)).Draw(t, "state"))
		worker := rapid.Uint32Range(0, maxIncarnation).Draw(t, "worker")
		gen := rapid.Uint64Range(0, maxGeneration).Draw(t, "gen")
		w := makeWord(s, worker, gen)
		require.Equal(t, s, w.state())
		require.Equal(t, worker, w.worker())
		require.Equal(t, gen, w.gen())
	})
}

func TestWordString(t *testing.T) {
	require.Equal(t, "running by worker 3, generation 9", makeWord(running, 3, 9).String())
	require.Equal(t, "impossible state 15", state(15).String())
	require.Zero(t, makeWord(free, 0, 0), "zeroed memory is a free slot")
}
