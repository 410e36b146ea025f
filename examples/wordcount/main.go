// Wordcount counts the words of files and directories, in parallel, and prints the
// most frequent ones.
//
//	go run ./examples/wordcount [-top N] [-workers N] [-ext .go] [file or directory ...]
//
// Without an argument it counts the source code of the Go distribution. A word is a run
// of bytes other than space, tab, newline, vertical tab, form feed and carriage
// return.
//
// The parent walks the directories and makes tasks of a few MiB out of what it finds:
// pieces of large files, batches of small ones (walk.go). The workers map the files
// and count (count.go) with a table (table.go) whose content comes back as two slices;
// the parent adds them up in a table of the same kind and reports (report.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

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
		return 2 // package flag has said why
	}
	if err := s.count(context.Background(), stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "wordcount:", err)
		return 1
	}
	return 0
}

// settings are what the command line says.
type settings struct {
	top     uint
	workers uint
	exts    []string // with their dots; none means every file
	paths   []string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("wordcount", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: wordcount [flags] [file or directory ...]")
		fmt.Fprintln(stderr, "Counts words; without arguments those of the Go distribution's source code.")
		f.PrintDefaults()
	}
	f.UintVar(&s.top, "top", 10, "how many of the most frequent words to print")
	f.UintVar(&s.workers, "workers", 0, "how many worker processes to use; 0 means one per CPU")
	f.Func("ext", "count only files with this extension, such as .go; several may be given, separated by commas", func(v string) error {
		for ext := range strings.SplitSeq(v, ",") {
			if strings.Trim(ext, ".") == "" {
				return errors.New("an extension is empty")
			}
			s.exts = append(s.exts, "."+strings.TrimPrefix(ext, "."))
		}
		return nil
	})
	err := f.Parse(args)
	s.paths = f.Args()
	return s, err
}

// count does the work.
func (s settings) count(ctx context.Context, stdout, stderr io.Writer) error {
	if len(s.paths) == 0 {
		src, err := goSource()
		if err != nil {
			return fmt.Errorf("find the Go distribution's source code: %w; name files or directories to count instead", err)
		}
		s.paths = []string{src}
	}
	roots, err := lookAt(s.paths)
	if err != nil {
		return err
	}
	began := time.Now()
	p, err := pool.New(pool.Options{Workers: int(min(s.workers, 1<<30))})
	if err != nil {
		return err
	}
	defer p.Terminate() // after an error, running tasks are of no use; after Close, this does nothing
	w := &walker{keep: s.wants}
	bar := newProgress(stderr, w)
	sum, err := countAll(ctx, p, w.tasks(roots), bar.show)
	bar.clear()
	if err == nil {
		err = w.err
	}
	if err != nil {
		return err
	}
	if sum.files == 0 {
		return fmt.Errorf("no files in %s%s", strings.Join(s.paths, ", "), s.whichExts())
	}
	sum.took, sum.workers = time.Since(began), p.Stats().Workers
	if err := p.Close(); err != nil {
		return err
	}
	return sum.report(stdout, int(min(s.top, 1<<30)))
}

// wants reports whether a file of this name is to be counted.
func (s settings) wants(name string) bool {
	return len(s.exts) == 0 || slices.ContainsFunc(s.exts, func(ext string) bool {
		return strings.HasSuffix(name, ext)
	})
}

func (s settings) whichExts() string {
	if len(s.exts) == 0 {
		return ""
	}
	return " with the extension " + strings.Join(s.exts, " or ")
}
