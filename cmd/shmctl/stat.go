package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/pool"
)

// status is a pool as a whole.
type status struct {
	Pool     string         `json:"pool"`
	Parent   int            `json:"parent"`
	State    pool.PoolState `json:"state"`
	Born     time.Time      `json:"born"`
	Taken    time.Time      `json:"taken"`
	Remarks  []remark       `json:"remarks"`
	Counters counters       `json:"counters"`
	Tasks    tasks          `json:"tasks"`
	Workers  staff          `json:"workers"`
	Memory   memory         `json:"memory"`

	Interval *interval `json:"interval,omitempty"` // since the line before
}

type counters struct {
	Accepted      uint64 `json:"accepted"`
	Succeeded     uint64 `json:"succeeded"`
	Failed        uint64 `json:"failed"`
	Cancelled     uint64 `json:"cancelled"`
	Dropped       uint64 `json:"dropped"`
	Timeouts      uint64 `json:"timeouts"`
	Retried       uint64 `json:"retried"`
	Started       uint64 `json:"workers_started"`
	Deaths        uint64 `json:"worker_deaths"`
	Rebuilds      uint64 `json:"rebuilds"`
	Woken         uint64 `json:"workers_woken"`
	ArgumentBytes uint64 `json:"argument_bytes"`
	ResultBytes   uint64 `json:"result_bytes"`
}

type tasks struct {
	Outstanding uint64        `json:"outstanding"` // a chunk of a Map counts as one
	Slots       int           `json:"slots"`
	Waiting     int           `json:"waiting"`
	Running     int           `json:"running"`
	Stopping    int           `json:"stopping"`
	Ended       int           `json:"results_not_taken"`
	Oldest      time.Duration `json:"oldest_wait_ns"`
}

// staff is what all workers do, and have done since they were started.
type staff struct {
	Wanted  uint64         `json:"wanted"`
	Doing   map[string]int `json:"doing"`
	Ran     uint64         `json:"ran"`
	Errors  uint64         `json:"errors"`
	Spins   uint64         `json:"spins"`
	Naps    uint64         `json:"naps"`
	Sleeps  uint64         `json:"sleeps"`
	Batches uint64         `json:"batches"`
	Stolen  uint64         `json:"stolen"`
}

type memory struct {
	Size    int64       `json:"size_bytes"`
	Blocks  int64       `json:"blocks_bytes"`
	Slack   int64       `json:"slack_bytes"`
	Free    int64       `json:"free_bytes"`
	Backed  int64       `json:"backed_bytes"`
	Count   int         `json:"blocks"`
	Spans   int         `json:"spans"`
	Classes []sizeClass `json:"classes"`
}

func (m *memory) String() string {
	if m.Size == 0 {
		return "unknown: a crash file does not have it, or it was written over"
	}
	return fmt.Sprintf("%s of %s in %s; %s backed", bytesOf(m.Blocks), bytesOf(m.Size), plural(m.Count, "block"), bytesOf(m.Backed))
}

// sizeClass are the small blocks of one size.
type sizeClass struct {
	Size  int64 `json:"size_bytes"`
	Held  int   `json:"held"`
	Room  int   `json:"room"`
	Spans int   `json:"spans"`
}

func memoryStats(m *pool.MemorySnapshot) memory {
	out := memory{m.Size, m.Blocks, m.Slack, m.Free, m.Backed, m.Count, m.Spans, []sizeClass{}}
	for _, c := range m.Classes {
		out.Classes = append(out.Classes, sizeClass(c))
	}
	return out
}

// interval is what happened in a time, per second.
type interval struct {
	Length   time.Duration `json:"length_ns"`
	Accepted float64       `json:"accepted_per_second"`
	Ended    float64       `json:"ended_per_second"`
	Failed   float64       `json:"failed_per_second"`
	Deaths   float64       `json:"deaths_per_second"`
	Woken    float64       `json:"woken_per_second"`
	Bytes    float64       `json:"bytes_per_second"` // of arguments and results
}

func newStat(sh *shell) *cobra.Command {
	var of *target
	every, lines := time.Duration(0), 0
	cmd := &cobra.Command{
		Use:   "stat [POOL]",
		Short: "What is the pool doing? Tasks, workers, memory, and what stands out",
		Long: `Show a pool's tasks, workers and memory, and say what stands out: what it is that makes it slow or stuck. With -i it shows a line for each
interval, with what happened in it.

` + exitHelp,
		Example: `  shmctl stat
  shmctl stat demo -i 1s
  shmctl stat demo -i 100ms -n 10 -o json
  shmctl stat --file demo.image`,
		RunE: runs(func(ctx context.Context, args []string) error {
			s, err := of.open(args)
			if err != nil {
				return err
			}
			defer s.close()
			if every > 0 {
				return sh.follow(ctx, s, every, lines)
			}
			return sh.show(statusOf(s, s.first))
		}),
	}
	cmd.Flags().DurationVarP(&every, "interval", "i", 0, "show a line for each interval, like 1s")
	cmd.Flags().IntVarP(&lines, "lines", "n", 0, "end after so many; 0: with Ctrl-C")
	of = sh.target(cmd)
	return cmd
}

func statusOf(s *site, snap *pool.Snapshot) *status {
	c, q := snap.Counters, snap.Queue
	st := &status{Pool: snap.Name, Parent: s.pid(), State: snap.State, Born: snap.Born, Taken: snap.Taken, Remarks: remarksOn(s, snap),
		Counters: counters(c), Memory: memoryStats(&snap.Memory),
		Tasks:   tasks{snap.Outstanding, q.Slots, q.Waiting, q.Running, q.Stopping, q.Ended, q.Oldest},
		Workers: staff{Wanted: snap.Wanted, Doing: map[string]int{}}}
	for _, w := range snap.Workers {
		st.Workers.Doing[doing(&w)]++
		st.Workers.add(&w)
	}
	return st
}

func (s *staff) add(w *pool.WorkerSnapshot) {
	s.Ran += w.Ran
	s.Errors += w.Errors
	s.Spins += w.Spins
	s.Naps += w.Naps
	s.Sleeps += w.Sleeps
	s.Batches += w.Batches
	s.Stolen += w.Stolen
}

// doing is what a worker does, or how it stands if it serves nobody.
func doing(w *pool.WorkerSnapshot) string {
	switch {
	case w.Doing != "":
		return w.Doing
	case w.State == "impossible":
		return "?"
	}
	return w.State
}

func (s *status) tables(wide bool) []table {
	head := table{}
	head.add("pool", s.Pool)
	head.add("parent", fmt.Sprint(s.Parent))
	head.add("state", fmt.Sprintf("%s, %s old", s.State, timeOf(s.Taken.Sub(s.Born))))
	c, t, m := &s.Counters, &s.Tasks, &s.Memory
	head.add("tasks", fmt.Sprintf("%s accepted: %s succeeded, %s failed, %s cancelled (%s by timeout), %s retried, %s dropped", countOf(c.Accepted),
		countOf(c.Succeeded), countOf(c.Failed), countOf(c.Cancelled), countOf(c.Timeouts), countOf(c.Retried), countOf(c.Dropped)))
	head.add("now", fmt.Sprintf("%d waiting, the oldest for %s; %d running, %d being stopped; %d ended and not fetched; room for %d",
		t.Waiting, oldestOf(*t), t.Running, t.Stopping, t.Ended, t.Slots))
	head.add("workers", fmt.Sprintf("%s; %s started, %s died", listOf(s.Workers.Doing), countOf(c.Started), countOf(c.Deaths)))
	head.add("memory", m.String())
	head.add("moved", fmt.Sprintf("%s of arguments, %s of results", bytesOf(int64(min(c.ArgumentBytes, 1<<62))), bytesOf(int64(min(c.ResultBytes, 1<<62)))))
	if wide {
		w := s.Workers
		head.add("idling", fmt.Sprintf("%s spins, %s naps, %s sleeps; %s woken by the parent", countOf(w.Spins), countOf(w.Naps), countOf(w.Sleeps), countOf(c.Woken)))
		head.add("fetching", fmt.Sprintf("%s tasks and items in %s batches, %s stolen", countOf(w.Ran), countOf(w.Batches), countOf(w.Stolen)))
	}
	all := []table{head}
	if wide && len(m.Classes) > 0 {
		blocks := table{header: []string{"BLOCKS OF", "HELD", "ROOM", "SPANS"}}
		for _, class := range m.Classes {
			blocks.add(bytesOf(class.Size), fmt.Sprint(class.Held), fmt.Sprint(class.Room), fmt.Sprint(class.Spans))
		}
		all = append(all, blocks)
	}
	return append(all, remarkTable(s.Remarks))
}
