package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/pool"
)

type roster struct {
	Pool    string       `json:"pool"`
	Workers []workerLine `json:"workers"`
}

type workerLine struct {
	Place       int               `json:"place"`
	Pid         int               `json:"pid"`
	State       string            `json:"state"`
	Doing       string            `json:"doing,omitempty"`
	Stopped     bool              `json:"stopped,omitempty"`
	Task        *taskLine         `json:"task,omitempty"`
	Taken       int               `json:"taken_and_not_begun"`
	Ran         uint64            `json:"ran"`
	Errors      uint64            `json:"errors"`
	Busy        time.Duration     `json:"busy_ns"` // of those tasks that were timed
	Timed       uint64            `json:"timed"`
	Batches     uint64            `json:"batches"`
	Stolen      uint64            `json:"stolen"`
	Spins       uint64            `json:"spins"`
	Naps        uint64            `json:"naps"`
	Sleeps      uint64            `json:"sleeps"`
	Memory      int64             `json:"own_memory_bytes"` // in RAM and swap, not counting the pool's
	Starved     time.Duration     `json:"cpu_wait_ns"`      // for which its threads were ready to run and had no processor, in all
	Incarnation uint32            `json:"incarnation"`
	Since       time.Time         `json:"since"`
	Starts      uint64            `json:"starts"`
	Ends        map[string]uint64 `json:"ends"`

	age time.Duration
}

type taskLine struct {
	ID       string        `json:"id"`
	Function string        `json:"function"`
	Since    time.Time     `json:"since"`
	For      time.Duration `json:"for_ns"`
	Items    uint64        `json:"items"`
	Done     uint64        `json:"items_done"`
	Retry    bool          `json:"may_retry"`
}

func newPs(sh *shell) *cobra.Command {
	var of *target
	waiting := false
	cmd := &cobra.Command{
		Use:   "ps [POOL]",
		Short: "Who is busy with what, and since when? Workers and their tasks",
		Long: `List the workers of a pool: what each is doing, and for how long; what it has done since it was started; how often the workers in its place have
ended, and why.

CPU WAIT is for how much of its life it was ready to run and had no processor: where that is much, tasks are slow because others have the processors.

With -o wide and -o json it shows the numbers of tasks, for kill; with --waiting, the tasks that no worker has begun, and theirs.

While it serves, a worker is running a task, hungry (its task waits for memory), looking for work, napping (for a moment) or sleeping (until it is woken).

` + exitHelp,
		Example: `  shmctl ps
  shmctl ps demo -o wide
  shmctl ps demo --waiting
  shmctl ps demo -o json | jq '.workers[] | select(.task.for_ns > 1e9)'`,
		RunE: runs(func(_ context.Context, args []string) error {
			s, err := of.open(args)
			if err != nil {
				return err
			}
			defer s.close()
			if waiting {
				q, err := queueOf(s)
				if err != nil {
					return err
				}
				return sh.show(q)
			}
			return sh.show(rosterOf(s, s.first))
		}),
	}
	of = sh.target(cmd)
	cmd.Flags().BoolVar(&waiting, "waiting", false, "show the tasks that wait instead")
	return cmd
}

func rosterOf(s *site, snap *pool.Snapshot) roster {
	r := roster{Pool: snap.Name, Workers: []workerLine{}}
	for i := range snap.Workers {
		r.Workers = append(r.Workers, lineOf(s, snap, &snap.Workers[i]))
	}
	return r
}

func lineOf(s *site, snap *pool.Snapshot, w *pool.WorkerSnapshot) workerLine {
	l := workerLine{Place: w.Place, Pid: cmp.Or(s.outer(w.Pid), w.Pid), State: w.State, Doing: w.Doing, Taken: w.Taken, Ran: w.Ran, Errors: w.Errors,
		Busy: w.Busy, Timed: w.Timed, Batches: w.Batches, Stolen: w.Stolen, Spins: w.Spins, Naps: w.Naps, Sleeps: w.Sleeps,
		Incarnation: w.Incarnation, Since: w.Since, Starts: w.Starts, Ends: w.Ends, age: snap.Taken.Sub(w.Since), Memory: -1, Starved: -1}
	if pid := s.outer(w.Pid); pid != 0 {
		if st, err := sys.StatusOf(pid); err == nil {
			l.Stopped, l.Memory = st.Stopped, st.Anonymous+st.Swapped
		}
		if d, err := sys.RunDelay(pid); err == nil {
			l.Starved = d
		}
	}
	if t := w.Task; t != nil {
		l.Task = &taskLine{fmt.Sprintf("%#x", t.ID), t.Function, t.Since, max(snap.Taken.Sub(t.Since), 0), t.Items, t.Done, t.Retry}
	}
	return l
}

func (r roster) tables(wide bool) []table {
	t := table{header: []string{"WORKER", "PID", "DOING", "FUNCTION", "FOR", "ITEMS", "RAN", "ERRORS", "MEMORY", "AGE", "CPU WAIT", "ENDED BEFORE"}}
	if wide {
		t.header = append(t.header, "TASK", "TAKEN", "BATCHES", "STOLEN", "SPINS", "NAPS", "SLEEPS", "INCARNATION")
	}
	for _, w := range r.Workers {
		t.addMarked(w.mark(), w.cells(wide)...)
	}
	return []table{t}
}

func (w *workerLine) mark() mark {
	switch {
	case w.Stopped || w.State == "undead" || w.State == "impossible":
		return bad
	case w.State != "serving" || w.Task != nil && w.Task.For > longRun:
		return doubtful
	}
	return plain
}

func (w *workerLine) cells(wide bool) []string {
	what := cmp.Or(w.Doing, w.State)
	if w.Stopped {
		what += " (stopped)"
	}
	pid, memory, starved := "-", "-", "-"
	if w.Pid != 0 {
		pid = fmt.Sprint(w.Pid)
	}
	if w.Memory >= 0 {
		memory = bytesOf(w.Memory)
	}
	if w.Starved >= 0 && w.age > 0 {
		starved = fmt.Sprintf("%.0f%%", 100*float64(w.Starved)/float64(w.age))
	}
	task := taskLine{}
	function, long, items := "-", "-", "-"
	if w.Task != nil {
		task = *w.Task
		function, long = task.Function, timeOf(task.For)
		if task.Items > 1 {
			items = fmt.Sprintf("%d of %d", task.Done, task.Items)
		}
	}
	cells := []string{fmt.Sprint(w.Place), pid, what, function, long, items, countOf(w.Ran), countOf(w.Errors), memory, timeOf(w.age), starved, listOf(w.Ends)}
	if wide {
		cells = append(cells, cmp.Or(task.ID, "-"), fmt.Sprint(w.Taken), countOf(w.Batches), countOf(w.Stolen), countOf(w.Spins), countOf(w.Naps),
			countOf(w.Sleeps), fmt.Sprint(w.Incarnation))
	}
	return cells
}

// listOf shows how many there are of each kind, as 3 crashed, 1 retired.
func listOf[N int | uint64](kinds map[string]N) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		if kinds[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", kinds[k], strings.ReplaceAll(k, "_", " ")))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "-")
}
