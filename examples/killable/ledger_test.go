package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// genAnswers makes the answers of some workers, in any order.
var genAnswers = rapid.Custom(func(t *rapid.T) (all []answer) {
	for worker, n := range rapid.SliceOfN(rapid.IntRange(1, 20), 1, 5).Draw(t, "tasks of each worker") {
		for i := range n {
			all = append(all, answer{Worker: uint64(worker), Nth: i + 1})
		}
	}
	return rapid.Permutation(all).Draw(t, "answers")
})

func checked(answers []answer, tasks int) error {
	l := ledger{}
	half := len(answers) / 2 // as two callers
	l.book(answers[:half])
	l.book(answers[half:])
	return l.check(uint64(tasks))
}

func TestLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := genAnswers.Draw(t, "all")
		require.NoError(t, checked(all, len(all)))
		k := rapid.IntRange(0, len(all)-1).Draw(t, "k")

		require.Error(t, checked(all, len(all)+1), "a task without an answer")
		require.Error(t, checked(slices.Delete(slices.Clone(all), k, k+1), len(all)), "a lost answer")
		twice := append(slices.Clone(all), all[k])
		require.ErrorContains(t, checked(twice, len(twice)), "was followed by", "an answer that came twice")
		again := append(slices.Clone(all), answer{all[k].Sum, all[k].Worker, len(all) + 1})
		if len(all) > k+1 || all[k].Nth != len(all) { // a task that ran twice: of its two runs, only the second has an answer
			again = slices.Delete(again, k, k+1)
			require.ErrorContains(t, checked(again, len(again)), "was followed by")
		}
	})
}
