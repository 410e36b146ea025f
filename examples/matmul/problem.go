package main

// bandsPerWorker is how many tasks a worker gets: with more than one, a worker that is slowed down
// leaves some of its share to the others.
const bandsPerWorker = 4

const valueBytes = 8 // of a float64

// A problem is what all three ways solve, and the matrices as slices.
type problem struct {
	n       int
	workers int
	rows    int // of a band; the last one may have fewer
	seed    uint64
	a, b    []float64
}

func newProblem(n, workers int, seed uint64) *problem {
	tasks := bandsPerWorker * workers
	p := &problem{n: n, workers: workers, rows: (n + tasks - 1) / tasks, seed: seed,
		a: make([]float64, n*n), b: make([]float64, n*n)}
	fill(p.a, n, 0, matrixA, seed)
	fill(p.b, n, 0, matrixB, seed)
	return p
}

// A band is some rows of a matrix, one after another.
type band struct{ first, rows int }

// bands cuts the rows of A and C into bands.
func (p *problem) bands() (all []band) {
	for i := 0; i < p.n; i += p.rows {
		all = append(all, band{i, min(p.rows, p.n-i)})
	}
	return all
}

// rowsOf returns a band of a matrix.
func (p *problem) rowsOf(matrix []float64, b band) []float64 {
	return matrix[b.first*p.n:][:b.rows*p.n]
}
