package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/shm"
)

func newRm(sh *shell) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "rm SEGMENT...",
		Short: "Remove named segments",
		Long: `Remove segments from /dev/shm by their names. One that a process has is kept, unless --force is given: then the processes keep
their memory, and nobody else finds it any more.

` + exitHelp,
		Example: `  shmctl rm frames
  shmctl rm --force frames`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeSegments,
		RunE:              runs(func(_ context.Context, args []string) error { return sh.remove(args, force) }),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "remove the name of what is in use, too")
	return cmd
}

func (sh *shell) remove(names []string, force bool) error {
	all, err := shm.List()
	if err != nil {
		return err
	}
	census, err := namedUsers()
	if err != nil {
		return err
	}
	r := removals{}
	for _, name := range names {
		s := shm.Info{Name: name, Size: -1}
		if i := slices.IndexFunc(all, func(s shm.Info) bool { return s.Name == name }); i >= 0 {
			s = all[i]
		}
		if force {
			r.Segments = append(r.Segments, removeAnyway(s))
		} else {
			r.Segments = append(r.Segments, removeOrphan(s, census, false))
		}
	}
	if err := sh.show(r); err != nil {
		return err
	}
	if n, _ := r.sum(); n < len(names) {
		return wrong(fmt.Errorf("%d of %s not removed", len(names)-n, plural(len(names), "segment")))
	}
	return nil
}

func removeAnyway(s shm.Info) removal {
	r := removal{Name: s.Name, Size: s.Size}
	if err := shm.Remove(s.Name); err != nil {
		r.Why = reasonOf(err)
		return r
	}
	r.Removed = true
	return r
}

func completeSegments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, err := shm.List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
