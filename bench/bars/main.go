// Bars measures the benchmarks that have a bar to meet, each beside its reference, and
// prints how they compare. It runs in the module of the benchmarks:
//
//	go -C bench run ./bars
//	go -C bench run ./bars -only Pool/burn -runs 9
//
// Each run measures every row once, a figure and its reference in one process, or one after the other if they are of two builds. The table
// shows the medians of the runs. A machine that does something else meanwhile measures
// that too; where its processors are another's as well, a row that was short of them is
// measured again.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"text/tabwriter"
)

const benchmarks = "github.com/shmkit/shmkit/bench"

func main() {
	runs := flag.Int("runs", 5, "how often each row is measured")
	only := flag.String("only", "", "measure only the rows whose benchmark matches this regular expression")
	flag.Parse()
	if err := run(*runs, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bars:", err)
		os.Exit(1)
	}
}

func run(runs int, only string) (err error) {
	if runs < 1 {
		return fmt.Errorf("-runs is %d: it must be at least 1", runs)
	}
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bars")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binaries, err := build(dir, chosen)
	if err != nil {
		return err
	}
	results, err := measureAll(binaries, chosen, runs)
	if err != nil {
		return err
	}
	return printTable(os.Stdout, chosen, results)
}

// build makes the test binaries that the rows need, by build tag.
func build(dir string, chosen []row) (map[string]string, error) {
	binaries := map[string]string{}
	for _, r := range chosen {
		for _, f := range r.figures() {
			tag := split(f).tag
			if binaries[tag] != "" {
				continue
			}
			binaries[tag] = filepath.Join(dir, "bench"+tag+".test")
			if out, err := exec.Command("go", "test", "-c", "-tags", tag, "-o", binaries[tag], benchmarks).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("build benchmarks: %w\n%s", err, out)
			}
		}
	}
	return binaries, nil
}

func choose(only string) (chosen []row, err error) {
	re, err := regexp.Compile(only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	for _, r := range rows {
		if re.MatchString(r.figure) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-only %q matches no row", only)
	}
	return chosen, nil
}

// samples are the values of one row's figures, one of each run.
type samples map[string][]float64

// measureAll goes through the rows again and again, so that a slow minute of the machine
// touches all of them a little and none of them in all its runs.
func measureAll(binaries map[string]string, chosen []row, runs int) ([]samples, error) {
	results := make([]samples, len(chosen))
	for i := range results {
		results[i] = samples{}
	}
	for n := range runs {
		for i, r := range chosen {
			fmt.Fprintf(os.Stderr, "run %d of %d: %s\n", n+1, runs, r.figure)
			if err := measure(binaries, r, results[i]); err != nil {
				return nil, err
			}
		}
	}
	return results, nil
}

const (
	// tolerable is the share of the processors' time that others may have while a row is measured.
	tolerable = 0.01

	// attempts bounds how often a row is measured for one run; the last counts anyway.
	attempts = 5
)

func measure(binaries map[string]string, r row, into samples) error {
	for n := 1; ; n++ {
		before := readTimes()
		values, err := r.run(binaries)
		if err != nil {
			return err
		}
		stolen := readTimes().stolenSince(before)
		if stolen <= tolerable || n == attempts {
			for figure, v := range values {
				into[figure] = append(into[figure], v)
			}
			return nil
		}
		fmt.Fprintf(os.Stderr, "again: others had %.0f %% of the processors' time\n", 100*stolen)
	}
}

// run measures the row's figures once, those of one build in one process.
func (r row) run(binaries map[string]string) (map[string]float64, error) {
	byTag := map[string][]string{}
	for _, f := range r.figures() {
		tag := split(f).tag
		byTag[tag] = append(byTag[tag], f)
	}
	values := map[string]float64{}
	for tag, figures := range byTag { // in any order, so that none is always the first
		cmd := exec.Command(binaries[tag], "-test.run", "^$", "-test.bench", pattern(figures), "-test.benchtime", r.benchtime)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w\n%s", r.figure, err, out)
		}
		for _, f := range figures {
			if values[f], err = find(string(out), f); err != nil {
				return nil, err
			}
		}
	}
	return values, nil
}

func printTable(w io.Writer, chosen []row, results []samples) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "benchmark\tmeasured ns\treference\treference ns\tratio\tbar\t")
	for i, r := range chosen {
		medians := map[string]float64{}
		for figure, values := range results[i] {
			medians[figure] = median(values)
		}
		v := r.judge(medians)
		fmt.Fprintf(t, "%s\t%.4g\t%s\t%.4g\t%s\t%s\t%s\n", r.figure, medians[r.figure], v.reference,
			medians[r.reference], v.ratio, v.bar, v.word())
	}
	return t.Flush()
}
