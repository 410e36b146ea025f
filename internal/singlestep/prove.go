//go:build linux && amd64

package singlestep

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Prove calls try once with a walk to the end of the operation, and then for each state with one that ends in a kill there. try
// prepares fresh memory, walks, and checks what has become of it. It is called by so many goroutines at once. Every operation makes a
// line in the test's log.
func Prove(t *testing.T, lanes int, try func(t *testing.T, w *Walk)) {
	t.Helper()
	every := os.Getenv("SHMKIT_STEP") == "every"
	whole := &Walk{point: -1, every: every}
	try(t, whole)
	require.True(t, whole.Returned || whole.Asleep, "the operation has neither returned nor gone to sleep")
	require.Greater(t, whole.States, 1, "the operation has changed nothing that is shared")
	var kills atomic.Int64
	t.Run("killed", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				// A state more or less can come of what others do: the last is behind the first walk's, and where the operation ends first.
				for point, killed := lane*stride(), true; killed || point < whole.States; point += lanes * stride() {
					w := &Walk{point: point, every: every}
					try(t, w)
					if killed = w.Killed; killed {
						kills.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%s: %d instructions, %d distinct states, %d kills", t.Name(), whole.Instructions, whole.States, kills.Load())
	require.GreaterOrEqual(t, 4*stride()*int(kills.Load()), 3*whole.States, "far fewer kills than states")
}

// Part yields the operations in the order of their names: all of them, but under the race detector each sixth, for that is how much
// longer they take there.
func Part[O any](operations map[string]O) iter.Seq2[string, O] {
	return func(yield func(string, O) bool) {
		for i, name := range slices.Sorted(maps.Keys(operations)) {
			if detectsRaces && i%6 != 0 {
				continue
			}
			if !yield(name, operations[name]) {
				return
			}
		}
	}
}

// stride says which states are taken: each; if time is short, each fourth; under the race detector, each eighth.
func stride() int {
	switch {
	case detectsRaces:
		return 8
	case testing.Short():
		return 4
	}
	return 1
}
