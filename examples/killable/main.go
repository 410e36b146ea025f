// Killable runs code that never ends, gives it a deadline, and ends it there: which no pool of goroutines can do, since a
// goroutine ends only when it wants to. Small tasks run beside it in the same pool.
//
//	go run ./examples/killable [-workers N] [-tasks N]
//
// What runs away is in runaway.go: a loop in Go and, in a build with cgo, two calls of C (c_cgo.go). Each is given a deadline in both
// ways that there are: by pool.Timeout and by its context (trial.go). The small tasks are in load.go, where each answer is
// checked and booked in a ledger (ledger.go).
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
	if err := s.show(context.Background(), stdout); err != nil {
		fmt.Fprintln(stderr, "killable:", err)
		return 1
	}
	return 0
}

// settings are what the command line says.
type settings struct {
	workers int
	tasks   int
}

const (
	// fewestWorkers: one is lost to what runs away, and the small tasks need another.
	fewestWorkers = 2

	// mostWorkers is how many a pool can have.
	mostWorkers = 1024

	// mostTasks keeps a typo from taking hours: what is known of each takes some bytes until the end.
	mostTasks = 1 << 22
)

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("killable", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: killable [flags]")
		fmt.Fprintln(stderr, "Ends code that never ends, beside small tasks that do not notice.")
		f.PrintDefaults()
	}
	f.IntVar(&s.workers, "workers", 4, "how many worker processes to use")
	f.IntVar(&s.tasks, "tasks", 20_000, "how many small tasks to run, at least, before, while and after something runs away")
	err := f.Parse(args)
	if err != nil {
		return s, err // package flag has said why
	}
	if err = s.validate(f.Args()); err != nil {
		fmt.Fprintln(stderr, "killable:", err)
		f.Usage()
	}
	return s, err
}

func (s settings) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is no flag: there are flags only", rest[0])
	case s.workers < fewestWorkers || s.workers > mostWorkers:
		return fmt.Errorf("-workers is %d: it must be between %d and %d", s.workers, fewestWorkers, mostWorkers)
	case s.tasks < 1 || s.tasks > mostTasks:
		return fmt.Errorf("-tasks is %d: it must be between 1 and %d", s.tasks, mostTasks)
	}
	return nil
}
