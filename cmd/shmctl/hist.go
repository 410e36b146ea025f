package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/pool"
)

type histograms struct {
	Pool      string          `json:"pool"`
	Over      time.Duration   `json:"over_ns"` // the time in which they ran
	Functions []functionTimes `json:"functions"`

	bars bool
}

type functionTimes struct {
	Function string `json:"function"`
	Runs     timing `json:"runs"`
	Waits    timing `json:"waits"`
}

type timing struct {
	Count   uint64        `json:"count"` // of those that were timed
	Total   time.Duration `json:"total_ns"`
	Mean    time.Duration `json:"mean_ns"`
	P50     time.Duration `json:"p50_ns"`
	P90     time.Duration `json:"p90_ns"`
	P99     time.Duration `json:"p99_ns"`
	Max     time.Duration `json:"max_ns"`
	Buckets []bucket      `json:"buckets"`
}

type bucket struct {
	Below time.Duration `json:"below_ns"`
	Count uint64        `json:"count"`
}

func newHist(sh *shell) *cobra.Command {
	var of *target
	length, function := time.Duration(0), ""
	cmd := &cobra.Command{
		Use:   "hist [POOL]",
		Short: "Which function is slow, and which waits? Times of tasks",
		Long: `Show how long the tasks of each function ran, and how long they waited before: since the pool has its memory, or with --for during the time from
now on. All tasks of 10 µs and more are timed, of shorter ones some, and so are waits: the counts are of those that are known. A quantile is the upper
bound of a bucket, off by a half at most.

` + exitHelp,
		Example: `  shmctl hist
  shmctl hist demo --for 10s
  shmctl hist demo -f demo.hash     # bars`,
		RunE: runs(func(ctx context.Context, args []string) error {
			s, err := of.open(args)
			if err != nil {
				return err
			}
			defer s.close()
			return sh.showTimes(ctx, s, length, function)
		}),
	}
	cmd.Flags().DurationVar(&length, "for", 0, "only what happens in so much time from now on, like 5s")
	cmd.Flags().StringVarP(&function, "function", "f", "", "this function alone, with bars")
	of = sh.target(cmd)
	return cmd
}

func (sh *shell) showTimes(ctx context.Context, s *site, length time.Duration, function string) error {
	snap := s.first
	over := snap.Taken.Sub(snap.Born)
	var ended error
	if length > 0 {
		first := snap
		if snap, ended = s.lookAfter(ctx, length); snap == nil {
			return ended
		}
		over = snap.Taken.Sub(first.Taken)
		subtract(snap, first)
	}
	h := histogramsOf(snap)
	h.Over = over
	if function != "" {
		i := slices.IndexFunc(snap.Functions, func(f pool.FunctionTimes) bool { return f.Name == function })
		if i < 0 {
			return wrong(fmt.Errorf("pool %q has no function %q", snap.Name, function))
		}
		f := &snap.Functions[i]
		h.bars, h.Functions = true, []functionTimes{{function, timesOf(&f.Runs), timesOf(&f.Waits)}}
	}
	if err := sh.show(h); err != nil {
		return err
	}
	return ended
}

// subtract leaves in snap what has come since first. New memory has begun anew.
func subtract(snap, first *pool.Snapshot) {
	if snap.Counters.Rebuilds != first.Counters.Rebuilds || len(snap.Functions) != len(first.Functions) {
		return
	}
	for i := range snap.Functions {
		f, before := &snap.Functions[i], &first.Functions[i]
		f.Runs, f.Waits = f.Runs.Sub(before.Runs), f.Waits.Sub(before.Waits)
	}
}

// histogramsOf returns the times of all functions that have some, those first that took most.
func histogramsOf(snap *pool.Snapshot) histograms {
	h := histograms{Pool: snap.Name, Over: snap.Taken.Sub(snap.Born), Functions: []functionTimes{}}
	for i := range snap.Functions {
		if f := &snap.Functions[i]; f.Runs.Count()+f.Waits.Count() > 0 {
			h.Functions = append(h.Functions, functionTimes{f.Name, timesOf(&f.Runs), timesOf(&f.Waits)})
		}
	}
	slices.SortStableFunc(h.Functions, func(a, b functionTimes) int { return cmp.Compare(b.Runs.Total, a.Runs.Total) })
	return h
}

// lookAfter waits so long, as long as there is something to wait for, and looks.
func (s *site) lookAfter(ctx context.Context, length time.Duration) (*pool.Snapshot, error) {
	end := time.NewTimer(length)
	defer end.Stop()
	again := time.NewTicker(min(max(length/10, time.Millisecond), 100*time.Millisecond))
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.look()
		case <-end.C:
			return s.look()
		case <-again.C:
			if snap, err := s.look(); err != nil {
				return snap, err
			}
		}
	}
}

func timesOf(t *pool.Times) timing {
	out := timing{Count: t.Count(), Total: t.Total(), Mean: t.Mean(), P50: t.Quantile(0.5), P90: t.Quantile(0.9), P99: t.Quantile(0.99),
		Buckets: []bucket{}}
	for _, b := range t.Buckets() {
		out.Buckets = append(out.Buckets, bucket(b))
		out.Max = min(t.Longest(), b.Below) // the longest may have been before
	}
	return out
}

func (h histograms) tables(wide bool) []table {
	if h.bars {
		return h.Functions[0].bars()
	}
	t := table{header: []string{"FUNCTION", "TIMED", "TOTAL", "MEAN", "P50", "P90", "P99", "MAX", "|", "WAITED: P50", "P99", "MAX"}}
	if wide {
		t.header = append(t.header, "WAITS KNOWN")
	}
	for _, f := range h.Functions {
		r, w := f.Runs, f.Waits
		cells := append([]string{f.Function, countOf(r.Count)}, r.cells(r.Total, r.Mean, r.P50, r.P90, r.P99, r.Max)...)
		cells = append(append(cells, "|"), w.cells(w.P50, w.P99, w.Max)...)
		if wide {
			cells = append(cells, countOf(w.Count))
		}
		t.add(cells...)
	}
	return []table{t}
}

// cells shows some of the times, if there are any.
func (t *timing) cells(some ...time.Duration) (all []string) {
	for _, d := range some {
		if t.Count == 0 {
			all = append(all, "-")
			continue
		}
		all = append(all, timeOf(d))
	}
	return all
}

func (f functionTimes) bars() []table {
	var all []table
	for _, part := range []struct {
		name string
		timing
	}{{"RAN", f.Runs}, {"WAITED", f.Waits}} {
		t := table{title: fmt.Sprintf("%s %s (%s timed, mean %s, longest %s)", f.Function, part.name, countOf(part.Count), timeOf(part.Mean), timeOf(part.Max))}
		most := uint64(1)
		for _, b := range part.Buckets {
			most = max(most, b.Count)
		}
		for i, b := range part.Buckets {
			bound := "< " + timeOf(b.Below)
			if i == len(part.Buckets)-1 {
				bound = "<= " + timeOf(min(b.Below, part.Max))
			}
			t.add(bound, countOf(b.Count), strings.Repeat("#", int(float64(b.Count)/float64(most)*50+0.5)))
		}
		all = append(all, t)
	}
	return all
}
