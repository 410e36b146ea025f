package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/pool"
)

type faults struct {
	Pool   string  `json:"pool"`
	Errors []fault `json:"errors"`
	Others uint64  `json:"others"` // for which there was no room

	Deaths []deathLine `json:"deaths"`

	now time.Time
}

type fault struct {
	Count    uint64    `json:"count"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Function string    `json:"function"`
	Text     string    `json:"text"`
}

func newErrors(sh *shell) *cobra.Command {
	var of *target
	cmd := &cobra.Command{
		Use:   "errors [POOL]",
		Short: "What went wrong, how often, and when? Errors of tasks, and deaths of workers",
		Long: `List the errors that tasks of a pool have had, each text of each function once, the last to happen first. The text is the first 200 bytes or so.

Below are the last 16 deaths of workers that should have gone on: which task each ran, for how long, and of the last death what the worker did before; of
all, with -o wide.

` + exitHelp,
		Example: `  shmctl errors
  shmctl errors demo -o json | jq '.errors[] | select(.count > 10)'`,
		RunE: runs(func(_ context.Context, args []string) error {
			s, err := of.open(args)
			if err != nil {
				return err
			}
			defer s.close()
			f := faultsOf(s.first)
			if err := sh.show(f); err != nil {
				return err
			}
			if len(f.Errors) == 0 {
				sh.note("no task of pool %q has had an error", f.Pool)
			}
			if f.Others > 0 {
				sh.note("and %s errors with other texts, for which there was no room", countOf(f.Others))
			}
			return nil
		}),
	}
	of = sh.target(cmd)
	return cmd
}

func faultsOf(snap *pool.Snapshot) faults {
	f := faults{Pool: snap.Name, Errors: []fault{}, Others: snap.Untold, Deaths: deathsOf(snap), now: snap.Taken}
	for _, e := range snap.Faults {
		f.Errors = append(f.Errors, fault{e.Count, e.First, e.Last, e.Function, e.Text})
	}
	slices.SortStableFunc(f.Errors, func(a, b fault) int { return cmp.Compare(b.Last.UnixNano(), a.Last.UnixNano()) })
	return f
}

func (f faults) tables(wide bool) []table {
	t := table{header: []string{"COUNT", "FIRST", "LAST", "FUNCTION", "ERROR"}}
	for _, e := range f.Errors {
		first, last := timeOf(max(f.now.Sub(e.First), 0))+" ago", timeOf(max(f.now.Sub(e.Last), 0))+" ago"
		if wide {
			first, last = e.First.Local().Format(time.RFC3339), e.Last.Local().Format(time.RFC3339)
		}
		t.add(countOf(e.Count), first, last, e.Function, e.Text)
	}
	return append([]table{t}, deathTables(f.Deaths, f.now, wide)...)
}
