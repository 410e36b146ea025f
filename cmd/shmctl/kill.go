package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/shmkit/shmkit/pool"
)

// A victim is what is to be killed.
type victim struct {
	task   string // as ps shows it
	worker int    // its place, -1 if it is a task
	yes    bool   // nobody needs to be asked
}

func newKill(sh *shell) *cobra.Command {
	v := victim{worker: -1}
	cmd := &cobra.Command{
		Use:   "kill [POOL] (--task ID | --worker N)",
		Short: "End a task or a worker that hangs",
		Long: `End a task, by the number that 'ps -o wide', 'ps -o json' and 'ps --waiting' show, or the worker in a place, by the number that ps shows first.

A task that waits does not run. One that runs ends with its worker, by SIGKILL: nothing that it has begun is finished, and it is not retried. Of a
chunk of a Map only the item that runs, or is next, fails. Whoever waits for it gets an error that wraps pool.ErrKilled. What a killed worker runs
fails likewise, or begins again if it has retries. Another worker takes the place.

The pool's parent does it, and nothing happens if it is stopped. You are asked before, unless you say --yes. If what you mean has ended
meanwhile, nothing is hit in its place.

` + exitHelp,
		Example: `  shmctl ps -o wide                      # which one?
  shmctl kill --task 0x8000030000000007
  shmctl kill demo --worker 2 --yes`,
		Args:              ofPool,
		ValidArgsFunction: completePools,
		RunE: runs(func(ctx context.Context, args []string) error {
			if (v.task == "") == (v.worker < 0) {
				return &exit{exitUsage, errors.New("kill what? Say --task ID or --worker N: see 'shmctl ps -o wide'")}
			}
			return sh.kill(ctx, args, v)
		}),
	}
	cmd.Flags().StringVar(&v.task, "task", "", "the task with this number")
	cmd.Flags().IntVar(&v.worker, "worker", -1, "the worker in this place")
	cmd.Flags().BoolVarP(&v.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (sh *shell) kill(ctx context.Context, args []string, v victim) error {
	id, err := v.id()
	if err != nil {
		return err
	}
	s, err := sh.pick(args)
	if err != nil {
		return err
	}
	defer s.close()
	w := v.find(s.first, id)
	if v.worker >= 0 && w == nil {
		return wrong(fmt.Errorf("pool %q has no worker %d: see 'shmctl ps'", s.name(), v.worker))
	}
	what := v.describe(s, w)
	if err := sh.confirm(ctx, "kill "+what, v.yes); err != nil {
		return err
	}
	o, err := s.operate()
	if err != nil {
		return err
	}
	defer o.Close()
	if v.worker >= 0 {
		err = o.KillWorker(ctx, w.Incarnation)
	} else {
		err = o.KillTask(ctx, id)
	}
	if err != nil {
		return failedTo(err)
	}
	sh.note("killed %s", what)
	return nil
}

// failedTo says how shmctl ends with an error of an Operator's.
func failedTo(err error) error {
	switch {
	case errors.Is(err, pool.ErrGone):
		return wrong(err)
	case errors.Is(err, pool.ErrPoolGone):
		return &exit{exitEnded, err}
	}
	return err
}

// id returns the number of the task, 0 if it is a worker.
func (v victim) id() (uint64, error) {
	if v.task == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(v.task, 0, 64)
	if err != nil {
		return 0, &exit{exitUsage, fmt.Errorf("task %q: a number such as 0x8000030000000007 is needed: see 'shmctl ps -o wide'", v.task)}
	}
	return id, nil
}

// find returns the worker that is meant, or runs the task that is, nil if there is none.
func (v victim) find(snap *pool.Snapshot, id uint64) *pool.WorkerSnapshot {
	for i := range snap.Workers {
		w := &snap.Workers[i]
		if w.Place == v.worker && w.Pid != 0 || v.worker < 0 && w.Task != nil && w.Task.ID == id {
			return w
		}
	}
	return nil
}

// describe says what will be killed.
func (v victim) describe(s *site, w *pool.WorkerSnapshot) string {
	switch {
	case w == nil:
		return fmt.Sprintf("task %s of pool %q, which waits in the queue, or has ended", v.task, printable(s.name()))
	case v.worker < 0:
		return fmt.Sprintf("task %s of pool %q, and worker %d (process %d), which runs %s", v.task, printable(s.name()), w.Place, s.pidOf(w), doingWhat(s.first, w))
	case w.Task == nil:
		return fmt.Sprintf("worker %d (process %d) of pool %q, which runs no task", w.Place, s.pidOf(w), printable(s.name()))
	}
	return fmt.Sprintf("worker %d (process %d) of pool %q, which runs %s", w.Place, s.pidOf(w), printable(s.name()), doingWhat(s.first, w))
}

// doingWhat says what task a worker runs, and since when.
func doingWhat(snap *pool.Snapshot, w *pool.WorkerSnapshot) string {
	text := fmt.Sprintf("%s since %s (for %s)", printable(w.Task.Function), w.Task.Since.Format(time.TimeOnly), timeOf(max(snap.Taken.Sub(w.Task.Since), 0)))
	if w.Task.Items > 1 {
		text += fmt.Sprintf(", item %d of %d", w.Task.Done+1, w.Task.Items)
	}
	return text
}

// confirm asks whoever sits at the terminal.
func (sh *shell) confirm(ctx context.Context, what string, yes bool) error {
	if yes {
		return nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return &exit{exitUsage, fmt.Errorf("would %s: there is no terminal to ask at; say --yes", what)}
	}
	fmt.Fprintf(sh.notes, "%s?\nType yes: ", strings.ToUpper(what[:1])+what[1:])
	answer := make(chan string, 1)
	go func() { answer <- readLine(os.Stdin) }()
	select {
	case line := <-answer:
		if line == "yes" || line == "y" {
			return nil
		}
	case <-ctx.Done():
	}
	return wrong(errors.New("nothing was done"))
}

func readLine(r io.Reader) string {
	line, _ := bufio.NewReader(r).ReadString('\n') // without an end it is none
	return strings.ToLower(strings.TrimSpace(line))
}
