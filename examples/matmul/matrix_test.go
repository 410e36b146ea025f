package main

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// productOf returns C by the definition.
func productOf(a, b []float64, n int) (c []float64) {
	for row := range slices.Chunk(a, n) {
		c = append(c, naive(row, b, n)...)
	}
	return c
}

func matrices(n, rows int, seed uint64) (a, b []float64) {
	a, b = make([]float64, rows*n), make([]float64, n*n)
	fill(a, n, 0, matrixA, seed)
	fill(b, n, 0, matrixB, seed)
	return a, b
}

func TestNaive(t *testing.T) {
	assert.Equal(t, []float64{19, 22, 43, 50}, productOf([]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2))
}

// Sizes around those of the tiles, and of the rows that are added at a time; bands of any height.
func TestMultiplyIsNaive(t *testing.T) {
	sizes := rapid.OneOf(rapid.IntRange(1, 40), rapid.SampledFrom([]int{
		tileRows - 1, tileRows, tileRows + 1, tileRows + 3, 2*tileRows + 5, tileCols - 1, tileCols, tileCols + 1, tileCols + 37,
	}))
	rapid.Check(t, func(t *rapid.T) {
		n := sizes.Draw(t, "n")
		a, b := matrices(n, rapid.IntRange(1, 5).Draw(t, "rows"), rapid.Uint64().Draw(t, "seed"))
		c := make([]float64, len(a))
		multiply(c, a, b, n)
		require.Equal(t, productOf(a, b, n), c)
	})
}

func TestMultiplyAdds(t *testing.T) {
	c := []float64{1, 2, 3, 4}
	multiply(c, []float64{1, 0, 0, 1}, []float64{10, 20, 30, 40}, 2)
	assert.Equal(t, []float64{11, 22, 33, 44}, c)
}

// A band is the same whether it is made with the matrix or by itself.
func TestFillByBands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "n")
		p := newProblem(n, rapid.IntRange(1, 9).Draw(t, "workers"), rapid.Uint64().Draw(t, "seed"))
		covered := 0
		for _, b := range p.bands() {
			require.Equal(t, covered, b.first)
			covered += b.rows
			part := make([]float64, b.rows*n)
			fill(part, n, b.first, matrixA, p.seed)
			require.Equal(t, p.rowsOf(p.a, b), part)
		}
		require.Equal(t, n, covered)
		require.LessOrEqual(t, len(p.bands()), bandsPerWorker*p.workers)
	})
}

func TestFill(t *testing.T) {
	a, b := matrices(50, 50, 1)
	other, _ := matrices(50, 50, 2)
	assert.NotEqual(t, a, b)
	assert.NotEqual(t, a, other)
	assert.NotEqual(t, a[:50], a[50:100])
	assert.Less(t, slices.Min(a), -0.99)
	assert.Greater(t, slices.Max(a), 0.99)
	for _, x := range a {
		assert.Equal(t, math.Trunc(x*1024), x*1024)
		assert.LessOrEqual(t, math.Abs(x), 1.0)
	}
}
