package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func newTrace(sh *shell) *cobra.Command {
	var of *target
	file, length := "", time.Duration(0)
	cmd := &cobra.Command{
		Use:   "trace [POOL] -o FILE",
		Short: "What happened, and when? A timeline for ui.perfetto.dev",
		Long: `Write what has happened last in a pool, and with --for what happens from now on, as a trace that ui.perfetto.dev and chrome://tracing show: a
track for each worker with its tasks and sleeps, one for the parent, arrows from a task's submission to its run to its result, and counters.

The parent keeps its last 1024 events, each worker its last 512, always. Tasks of less than about 10 µs are told of by samples, and of these,
as of waits, only some when there are many. It says how much is missing.

If the pool ends meanwhile, the trace is written all the same.

` + exitHelp,
		Example: `  shmctl trace -o trace.json
  shmctl trace demo --for 5s -o trace.json
  shmctl trace --file demo-4711-4802.crash -o trace.json`,
		RunE: runs(func(ctx context.Context, args []string) error {
			if file == "" {
				return &exit{exitUsage, errors.New("where to? Say -o FILE, or -o - for the standard output")}
			}
			return sh.trace(ctx, of, args, length, file)
		}),
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "the file to write; -: standard output")
	cmd.Flags().DurationVar(&length, "for", 0, "go on for so long, like 5s")
	_ = cmd.MarkFlagFilename("output", "json")
	of = sh.target(cmd)
	return cmd
}

func (sh *shell) trace(ctx context.Context, of *target, args []string, length time.Duration, file string) error {
	sh.format = "table" // the flag's name is another's here
	s, err := of.open(args)
	if err != nil {
		return err
	}
	defer s.close()
	r, ended := s.record(ctx, length)
	if errors.Is(ended, errTooMuch) {
		sh.note("%v", ended)
		ended = nil
	}
	if err := sh.writeFile(file, func(w io.Writer) error { return writeTrace(w, r) }); err != nil {
		return err
	}
	first, last := r.span()
	sh.note("%s: %d events in %s of pool %q; %d were overwritten unread, %s short tasks were sampled away", file, r.events, timeOf(last.Sub(first)),
		r.pool.Name, r.missed(), countOf(r.untold()))
	return ended
}

// writeFile has the file, or the standard output for -, written by write: all of it, or nothing is left.
func (sh *shell) writeFile(name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(sh.out)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(name))
	}
	return nil
}
