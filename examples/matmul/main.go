// Matmul multiplies two matrices in three ways and compares them: in processes that
// hand each other blocks of shared memory, in goroutines, and in processes that send each other slices.
//
//	go run ./examples/matmul [-n 1024] [-workers N] [-seed S]
//
// C = A·B is computed in bands of rows: a task is a band of A and all of B, and its result is the
// band of C. All three ways use the same kernel (matrix.go). With blocks (blocks.go), B
// is one frozen operand that every worker reads, and the bands change hands: nothing is copied. The other ways are in ways.go. Each C is
// checked against a product that is computed as the textbook has it (check.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/shmkit/shmkit/pool"
)

func main() {
	pool.Main() // in a worker: serve and never return
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. It returns the exit code: 2 for wrong usage, as package flag has it.
func run(args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2 // parse has said why
	}
	if err := s.compare(context.Background(), stdout); err != nil {
		fmt.Fprintln(stderr, "matmul:", err)
		return 1
	}
	return 0
}

// settings are what the command line says.
type settings struct {
	n       int
	workers int
	seed    uint64
}

const (
	// mostRows keeps a typo from taking hours and all memory: such matrices take 2 GiB each.
	mostRows = 1 << 14

	// mostWorkers is how many a pool can have.
	mostWorkers = 1024
)

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("matmul", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: matmul [flags]")
		fmt.Fprintln(stderr, "Multiplies two n x n matrices in processes and in goroutines, and compares the times.")
		f.PrintDefaults()
	}
	f.IntVar(&s.n, "n", 1024, "how many rows and columns the matrices have")
	f.IntVar(&s.workers, "workers", 0, "how many processes, or goroutines, to use; 0 means one per CPU")
	f.Uint64Var(&s.seed, "seed", 1, "which matrices: the same seed makes the same ones")
	err := f.Parse(args)
	if err != nil {
		return s, err // package flag has said why
	}
	if err = s.validate(f.Args()); err != nil {
		fmt.Fprintln(stderr, "matmul:", err)
		f.Usage()
	}
	return s, err
}

func (s settings) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is no flag: there are flags only", rest[0])
	case s.n < 1 || s.n > mostRows:
		return fmt.Errorf("-n is %d: it must be between 1 and %d", s.n, mostRows)
	case s.workers < 0 || s.workers > mostWorkers:
		return fmt.Errorf("-workers is %d: it must be between 0 (for one per CPU) and %d", s.workers, mostWorkers)
	}
	return nil
}
