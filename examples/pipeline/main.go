// Pipeline compresses the files of a directory, by three kinds of processes that are joined by queues.
//
//	go run ./examples/pipeline [-packers N] [-kill DURATION] [from] to
//
// Without from it takes the source code of the Go distribution. Each file becomes one of the same name and ".gz" below to.
//
// The parent finds the files and puts their names into a queue; readers get names and put contents; packers get contents and put
// what is left of them; writers get that, and put a receipt (stages.go). The parent keeps count, and starts another process in the place
// of one that dies (foreman.go): with -kill it kills one of them every so often, and the result is the same.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/shmkit/shmkit/process"
)

func main() {
	process.Main() // in a child: run its stage and never return
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// settings are what the command line says.
type settings struct {
	packers int
	kill    time.Duration // 0: never
	from    string
	to      string
}

// run is the program. It returns the exit code: 2 for wrong usage, as package flag has it.
func run(args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2 // it was said why
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	began := time.Now()
	total, err := compress(ctx, s)
	if err != nil {
		fmt.Fprintln(stderr, "pipeline:", err)
		return 1
	}
	fmt.Fprintf(stdout, "%d files, %d bytes to %d, %.2f s, %d processes, %d killed\n",
		total.files, total.in, total.out, time.Since(began).Seconds(), total.started, total.died)
	return 0
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	f := flag.NewFlagSet("pipeline", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: pipeline [flags] [from] to")
		fmt.Fprintln(stderr, "Compresses the files below from, by default those of the Go distribution's source code, into files below to.")
		f.PrintDefaults()
	}
	f.IntVar(&s.packers, "packers", runtime.GOMAXPROCS(0), "how many processes compress")
	f.DurationVar(&s.kill, "kill", 0, "kill one of the processes every so often, such as 100ms")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	switch f.NArg() {
	case 1:
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			fmt.Fprintln(stderr, "pipeline: find the Go distribution:", err)
			return s, err
		}
		s.from, s.to = filepath.Join(strings.TrimSpace(string(root)), "src"), f.Arg(0)
	case 2:
		s.from, s.to = f.Arg(0), f.Arg(1)
	default:
		f.Usage()
		return s, errors.New("wrong number of arguments")
	}
	if s.packers < 1 || s.kill < 0 {
		fmt.Fprintf(stderr, "pipeline: %d packers, a kill every %v: want at least one, and no negative time\n", s.packers, s.kill)
		return s, errors.New("bad value")
	}
	return s, nil
}
