package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

const (
	checkedWhole = 256 // matrices of up to so many rows are checked as a whole
	checkedRows  = 16  // of larger ones, the naive product would take longer than all the rest
)

// A reference is rows of C by the naive product.
type reference struct {
	n    int
	rows []int // in order
	want [][]float64
}

func newReference(p *problem) *reference {
	r := &reference{n: p.n, rows: sample(p.n, p.seed)}
	for _, i := range r.rows {
		r.want = append(r.want, naive(p.a[i*p.n:][:p.n], p.b, p.n))
	}
	return r
}

// sample returns the rows to check: all, or different ones drawn at random.
func sample(n int, seed uint64) []int {
	rows := rand.New(rand.NewPCG(seed, 0)).Perm(n)
	if n > checkedWhole {
		rows = rows[:checkedRows]
	}
	slices.Sort(rows)
	return rows
}

// check compares C, in bands of so many rows, with the reference. The values are equal or
// wrong: see fill.
func (r *reference) check(bands [][]float64, rows int) error {
	for k, i := range r.rows {
		got := bands[i/rows][i%rows*r.n:][:r.n]
		for j, want := range r.want[k] {
			if got[j] != want {
				return fmt.Errorf("the result is wrong: row %d, column %d is %v, and %v by the naive product", i, j, got[j], want)
			}
		}
	}
	return nil
}

// String names the rows.
func (r *reference) String() string {
	if len(r.rows) == r.n {
		return fmt.Sprintf("all %d rows", r.n)
	}
	var names []string
	for _, i := range r.rows {
		names = append(names, strconv.Itoa(i))
	}
	return fmt.Sprintf("%d of %d rows, drawn at random: %s", len(r.rows), r.n, strings.Join(names, " "))
}
