package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inBands returns the right result.
func inBands(p *problem) (c [][]float64) {
	for _, b := range p.bands() {
		c = append(c, productOf(p.rowsOf(p.a, b), p.b, p.n))
	}
	return c
}

// Each value of a row that is checked counts, and no other.
func TestCheck(t *testing.T) {
	for _, n := range []int{5, checkedWhole + 1} {
		p := newProblem(n, 2, 1)
		ref, c := newReference(p), inBands(p)
		require.NoError(t, ref.check(c, p.rows))
		for i := range n {
			at := &c[i/p.rows][i%p.rows*n+i]
			*at += 1.0 / (1 << 20)
			if err := ref.check(c, p.rows); slices.Contains(ref.rows, i) {
				assert.ErrorContains(t, err, "the result is wrong: row ")
			} else {
				assert.NoError(t, err)
			}
			*at -= 1.0 / (1 << 20)
		}
	}
}

func TestSample(t *testing.T) {
	assert.Len(t, sample(checkedWhole, 1), checkedWhole)
	rows := sample(checkedWhole+1, 1)
	assert.Len(t, slices.Compact(slices.Clone(rows)), checkedRows)
	assert.True(t, slices.IsSorted(rows))
	assert.Equal(t, rows, sample(checkedWhole+1, 1))
	assert.NotEqual(t, rows, sample(checkedWhole+1, 2))
}
