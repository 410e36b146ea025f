package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// A verdict is about a pool or a segment.
type verdict struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"` // "pool" or "segment"
	Sound  bool     `json:"sound"`
	Broken []string `json:"broken"`
	Things []thing  `json:"structures,omitempty"` // of a segment
}

func (v verdict) tables(bool) []table {
	t := table{}
	for _, b := range v.Broken {
		t.addMarked(bad, b)
	}
	if v.Sound {
		t.addMarked(good, fmt.Sprintf("%s %q: nothing is wrong with its memory%s", v.Kind, v.Name, v.what()))
	}
	return []table{t}
}

// what lists what was looked at in a segment.
func (v verdict) what() string {
	var kinds []string
	for i, t := range v.Things {
		if i == 10 {
			kinds = append(kinds, fmt.Sprintf("%d more", len(v.Things)-i))
			break
		}
		kinds = append(kinds, t.Kind)
	}
	if len(kinds) == 0 {
		return ""
	}
	return " (" + strings.Join(kinds, ", ") + ")"
}

func newCheck(sh *shell) *cobra.Command {
	var of *target
	cmd := &cobra.Command{
		Use:   "check [POOL|SEGMENT]",
		Short: "Is its memory sound? All that must hold in it, whatever the pool does",
		Long: `Look for what must not be in a pool's memory: what no honest worker writes. The pool itself looks for what would harm it, and gets new memory
then. Something that is wrong points to unsafe or C code in what its workers run, or to a bug of shmkit's.

SEGMENT is a named segment, or any other memory that ls lists, by its name, or by PID or PID/FD of a process that has it: the rings, queues, semaphores,
locks and arenas that begin in it are looked at, those of others' programs too. What must hold of several words together is asked only if nothing has changed
while they were read, and what is wrong must be so at three looks: users of it disturb nobody and are not disturbed.

` + exitHelp,
		Example: `  shmctl check && echo sound
  shmctl check frames
  shmctl check --file demo.image`,
		RunE: runs(func(_ context.Context, args []string) error {
			s, seg, err := of.openAny(args)
			if err != nil {
				return err
			}
			v := verdict{}
			if seg != nil {
				defer seg.close()
				v, err = seg.check()
			} else {
				defer s.close()
				v, err = s.check()
			}
			if err != nil {
				return err
			}
			return sh.pass(v)
		}),
	}
	of = sh.target(cmd)
	return cmd
}

// pass shows the verdict and ends accordingly.
func (sh *shell) pass(v verdict) error {
	if err := sh.show(v); err != nil {
		return err
	}
	if !v.Sound {
		return wrong(fmt.Errorf("%s %q: %s", v.Kind, v.Name, plural(len(v.Broken), "thing")+" that must not be"))
	}
	return nil
}

func (s *site) check() (verdict, error) {
	broken, err := s.observer.Check()
	return verdict{Name: s.name(), Kind: "pool", Sound: len(broken) == 0, Broken: append([]string{}, broken...)}, err
}

func (s *segment) check() (verdict, error) {
	v := verdict{Name: s.name, Kind: "segment", Broken: []string{}}
	var err error
	if v.Things, err = thingsIn(s.f, s.size); err != nil {
		return v, err
	}
	if len(v.Things) == 0 {
		return v, wrong(fmt.Errorf("segment %q: no structure of shmkit's begins in it, or none that is complete", s.name))
	}
	for _, t := range v.Things {
		if t.Kind == otherLayout {
			return v, fmt.Errorf("segment %q: at %d: %s", s.name, t.Off, t.Facts[0].Value)
		}
		for _, line := range t.Broken {
			v.Broken = append(v.Broken, fmt.Sprintf("%s at %d: %s", t.Kind, t.Off, line))
		}
	}
	v.Sound = len(v.Broken) == 0
	return v, nil
}
