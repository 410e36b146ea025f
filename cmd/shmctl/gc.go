package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/shm"
)

func newGC(sh *shell) *cobra.Command {
	dry := false
	cmd := &cobra.Command{
		Use:   "gc [PATTERN...]",
		Short: "Remove the named segments that nobody has",
		Long: `Remove the segments in /dev/shm that no process has: what programs that were killed have left.

Nobody has a segment if no shmkit program holds it, which is certain, and no process of this user has it open or mapped. Segments that are meant to
wait for their next program look the same: name what is yours by patterns with * and ?, or look first with --dry-run. Semaphores
(sem.*) stay unless a pattern names them.

` + exitHelp,
		Example: `  shmctl gc --dry-run
  shmctl gc 'frames-*'`,
		RunE: runs(func(_ context.Context, args []string) error {
			if _, err := matches(args, ""); err != nil {
				return &exit{exitUsage, err}
			}
			return sh.collect(args, dry)
		}),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed, and remove nothing")
	return cmd
}

func (sh *shell) collect(patterns []string, dry bool) error {
	all, err := shm.List()
	if err != nil {
		return err
	}
	census, err := namedUsers()
	if err != nil {
		return err
	}
	sh.noteBlind(census)
	r := removals{Segments: []removal{}, DryRun: dry}
	for _, s := range all {
		if is, _ := matches(patterns, s.Name); is {
			r.Segments = append(r.Segments, removeOrphan(s, census, dry))
		}
	}
	if err := sh.show(r); err != nil {
		return err
	}
	verb := "removed"
	if dry {
		verb = "would remove"
	}
	n, size := r.sum()
	sh.note("%s %s, %s", verb, plural(n, "segment"), bytesOf(size))
	return nil
}
