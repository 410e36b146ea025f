package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/pool"
)

// everything is what can be known of a pool.
type everything struct {
	Status     *status      `json:"status"`
	Workers    roster       `json:"workers"`
	Histograms histograms   `json:"histograms"`
	Errors     faults       `json:"errors"`
	Broken     []string     `json:"broken"`
	Death      *deathLine   `json:"death,omitempty"` // of which the image was made
	Slots      []slotLine   `json:"slots"`
	Parts      []memoryPart `json:"memory"`
	Missed     uint64       `json:"events_missed"`
	Events     []eventLine  `json:"events"` // of all parties, as they ended
}

type eventLine struct {
	End      time.Time     `json:"end"`
	Place    int           `json:"place"` // of the worker; -1 for the parent
	Kind     string        `json:"kind"`
	For      time.Duration `json:"for_ns"`
	Wait     time.Duration `json:"wait_ns"` // less than 0 if that is not known
	Function string        `json:"function,omitempty"`
	Task     string        `json:"task,omitempty"`
	Worker   uint32        `json:"worker,omitempty"`
	N        uint32        `json:"n,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Untold   uint64        `json:"untold,omitempty"`
}

func newDump(sh *shell) *cobra.Command {
	var of *target
	file := ""
	cmd := &cobra.Command{
		Use:   "dump [POOL|SEGMENT]",
		Short: "Everything at once, to read later or to send to somebody",
		Long: `Show all that can be known of a pool: what stat, ps, hist, errors and check show, its tasks as they lie in the memory, and its last events; with -o wide, the
memory's parts and bytes, too.

Of a SEGMENT, as check takes it, show each ring, queue, semaphore or lock: what it says, who has to do with it, and its first bytes; more of them with -o wide.

With --to it writes an image instead, which stat, ps, hist, errors, check, trace and dump itself read with --file. An image has no arguments, results or
blocks. The files that Options.CrashDir has a pool write when a worker dies are such images too, with the worker's end and its traceback.

` + exitHelp,
		Example: `  shmctl dump -o json > demo.json
  shmctl dump demo --to demo.image && shmctl ps --file demo.image
  shmctl dump frames
  shmctl dump --file demo-4711-4802.crash`,
		RunE: runs(func(ctx context.Context, args []string) error {
			s, seg, err := of.openAny(args)
			if err != nil {
				return err
			}
			if seg != nil {
				defer seg.close()
				return sh.dumpSegment(seg, file)
			}
			defer s.close()
			if file != "" {
				return sh.writeFile(file, func(w io.Writer) error { return s.observer.Dump(w) })
			}
			all, err := everythingOf(ctx, s)
			if err != nil {
				return err
			}
			return sh.show(all)
		}),
	}
	cmd.Flags().StringVar(&file, "to", "", "write an image to this file; -: standard output")
	_ = cmd.MarkFlagFilename("to")
	of = sh.target(cmd)
	return cmd
}

func (sh *shell) dumpSegment(seg *segment, file string) error {
	if file != "" {
		return &exit{exitUsage, fmt.Errorf("%q is no pool: --to writes images of pools", seg.name)}
	}
	d, err := seg.dump(sh.format == "wide")
	if err != nil {
		return err
	}
	return sh.show(d)
}

func everythingOf(ctx context.Context, s *site) (*everything, error) {
	snap := s.first
	all := &everything{Status: statusOf(s, snap), Workers: rosterOf(s, snap), Histograms: histogramsOf(snap), Errors: faultsOf(snap), Events: []eventLine{},
		Slots: []slotLine{}}
	broken, err := s.observer.Check()
	if err != nil {
		return nil, err
	}
	all.Broken = append([]string{}, broken...)
	if d := s.observer.Death(); d != nil {
		line := deathOf(d)
		line.ExitCode, line.Signal, line.Traceback = &d.ExitCode, d.Signal, d.Traceback
		all.Death = &line
	}
	if err := all.addMemory(s.observer); err != nil {
		return nil, err
	}
	r, err := s.record(ctx, 0)
	if codeOf(err) == exitFailed {
		return nil, err
	}
	all.Missed = r.missed()
	all.add(-1, r.parent.events)
	for place, t := range r.workers {
		all.add(place, t.events)
	}
	slices.SortStableFunc(all.Events, func(a, b eventLine) int { return a.End.Compare(b.End) })
	return all, nil
}

func (all *everything) add(place int, events []pool.Event) {
	for i := range events {
		all.Events = append(all.Events, lineOfEvent(place, &events[i]))
	}
}

func lineOfEvent(place int, e *pool.Event) eventLine {
	l := eventLine{End: e.End, Place: place, Kind: string(e.Kind), For: e.End.Sub(e.Begin), Wait: e.Wait, Function: e.Function,
		Worker: e.Worker, N: e.N, Reason: e.Reason, Untold: e.Untold}
	if e.Task != 0 {
		l.Task = taskID(e.Task)
	}
	return l
}

func (all *everything) tables(wide bool) []table {
	tables := slices.Concat(all.Status.tables(wide), all.Workers.tables(wide), all.Histograms.tables(wide), all.Errors.tables(wide))
	if d := all.Death; d != nil {
		tables = append(tables, d.table())
	}
	if len(all.Broken) > 0 {
		t := table{title: "WHAT MUST NOT BE"}
		for _, b := range all.Broken {
			t.addMarked(bad, b)
		}
		tables = append(tables, t)
	}
	return append(append(tables, all.memoryTables(wide)...), all.lastEvents(wide))
}

func (d *deathLine) table() table {
	t := table{title: "DEATH"}
	t.addMarked(bad, fmt.Sprintf("worker %d (process %d): %s: %s", d.Place, d.Pid, strings.ReplaceAll(d.Reason, "_", " "), d.Text))
	if d.Task != nil {
		t.add(fmt.Sprintf("  it ran %s, task %s, for at most %s", d.Task.Function, d.Task.ID, timeOf(d.Task.For)))
	}
	for line := range strings.Lines(d.Traceback) {
		t.add("  " + strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    "))
	}
	return t
}

// lastEvents shows some of the events, or all if that is asked for.
func (all *everything) lastEvents(wide bool) table {
	const most = 40
	events := all.Events
	if !wide && len(events) > most {
		events = events[len(events)-most:]
	}
	t := eventTable(events)
	t.title = fmt.Sprintf("LAST %d OF %d EVENTS", len(events), len(all.Events))
	return t
}

func eventTable(events []eventLine) table {
	t := table{header: []string{"TIME", "WHO", "WHAT", "FUNCTION", "FOR", "WAITED", "TASK"}}
	for _, e := range events {
		who, wait := "parent", "-"
		if e.Place >= 0 {
			who = fmt.Sprintf("worker %d", e.Place)
		}
		if e.Wait >= 0 && e.Function != "" {
			wait = timeOf(e.Wait)
		}
		what := e.Kind
		if e.Reason != "" {
			what += ": " + e.Reason
		}
		t.add(e.End.Local().Format("15:04:05.000000"), who, what, dash(e.Function), timeOf(e.For), wait, dash(e.Task))
	}
	return t
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
