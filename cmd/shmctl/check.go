package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

type verdict struct {
	Pool   string   `json:"pool"`
	Sound  bool     `json:"sound"`
	Broken []string `json:"broken"`
}

func (v verdict) tables(bool) []table {
	t := table{}
	for _, b := range v.Broken {
		t.addMarked(bad, b)
	}
	if v.Sound {
		t.addMarked(good, fmt.Sprintf("pool %q: nothing is wrong with its memory", v.Pool))
	}
	return []table{t}
}

func newCheck(sh *shell) *cobra.Command {
	var of *target
	cmd := &cobra.Command{
		Use:   "check [POOL]",
		Short: "Is its memory sound? All that must hold in it, whatever the pool does",
		Long: `Look for what must not be in a pool's memory: what no honest worker writes. The pool itself looks for what would harm it, and gets new memory
then. Something that is wrong points to unsafe or C code in what its workers run, or to a bug of shmkit's.

` + exitHelp,
		Example: `  shmctl check && echo sound
  shmctl check --file demo.image`,
		RunE: runs(func(_ context.Context, args []string) error {
			s, err := of.open(args)
			if err != nil {
				return err
			}
			defer s.close()
			broken, err := s.observer.Check()
			if err != nil {
				return err
			}
			v := verdict{Pool: s.name(), Sound: len(broken) == 0, Broken: append([]string{}, broken...)}
			if err := sh.show(v); err != nil {
				return err
			}
			if !v.Sound {
				return wrong(fmt.Errorf("pool %q: %s", v.Pool, plural(len(broken), "thing")+" that must not be"))
			}
			return nil
		}),
	}
	of = sh.target(cmd)
	return cmd
}
