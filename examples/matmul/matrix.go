package main

import "math/rand/v2"

// A matrix is a slice, row after row.

// Two matrices that a seed makes.
const (
	matrixA = 1
	matrixB = 2
)

// fill sets rows of n values each, the first of which is row first of the matrix. Each row is made by itself,
// so that a band can be made where it is to lie.
//
// The values are multiples of 1/1024 between -1 and 1. Sums of their products are exact as long as n is below 2^33,
// in whatever order they are added up: results can be compared with ==.
func fill(rows []float64, n, first int, matrix, seed uint64) {
	for ; len(rows) > 0; rows = rows[n:] {
		random := rand.New(rand.NewPCG(seed, matrix<<32|uint64(first)))
		for j := range rows[:n] {
			rows[j] = float64(random.IntN(2*1024+1)-1024) / 1024
		}
		first++
	}
}

// A tile of B is as much as stays in a processor's cache while all rows of A are multiplied by it: 512 KiB.
const (
	tileRows = 128
	tileCols = 512
)

// multiply adds a·b to c. b is n x n; a and c are as many rows of n values as there are.
func multiply(c, a, b []float64, n int) {
	for k := 0; k < n; k += tileRows {
		for j := 0; j < n; j += tileCols {
			h, w := min(tileRows, n-k), min(tileCols, n-j)
			for i := 0; i < len(c); i += n {
				multiplyTile(c[i+j:][:w], a[i+k:][:h], b[k*n+j:], n)
			}
		}
	}
}

// multiplyTile adds a row of A by a tile of B to a row of C. Rows of the tile begin n values apart.
func multiplyTile(c, a, tile []float64, n int) {
	k := 0
	for ; k+4 <= len(a); k += 4 {
		add4(c, (*[4]float64)(a[k:]), tile[k*n:], tile[(k+1)*n:], tile[(k+2)*n:], tile[(k+3)*n:])
	}
	for ; k < len(a); k++ {
		b := tile[k*n:][:len(c)]
		for j := range c {
			c[j] += a[k] * b[j]
		}
	}
}

// add4 adds four rows, each times its factor, to c: that loads and stores c once and not four times, which
// is most of the work.
func add4(c []float64, a *[4]float64, r0, r1, r2, r3 []float64) {
	r0, r1, r2, r3 = r0[:len(c)], r1[:len(c)], r2[:len(c)], r3[:len(c)] // no check of bounds in the loop
	a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
	for j := range c {
		c[j] += a0*r0[j] + a1*r1[j] + a2*r2[j] + a3*r3[j]
	}
}

// naive returns row·b by the definition of the product.
func naive(row, b []float64, n int) []float64 {
	c := make([]float64, n)
	for j := range n {
		var sum float64
		for k := range n {
			sum += row[k] * b[k*n+j]
		}
		c[j] = sum
	}
	return c
}
