package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/pool"
)

// stacks are where the workers of a pool are.
type stacks struct {
	Pool    string        `json:"pool"`
	Workers []workerStack `json:"workers"`
}

type workerStack struct {
	Place       int    `json:"place"`
	Pid         int    `json:"pid"`
	Incarnation uint32 `json:"incarnation"`
	Function    string `json:"function,omitempty"`
	Stacks      string `json:"stacks,omitempty"`
	Error       string `json:"error,omitempty"`

	doing string
}

func newStack(sh *shell) *cobra.Command {
	place := -1
	cmd := &cobra.Command{
		Use:   "stack [POOL]",
		Short: "Where exactly is it? Goroutine stacks of live workers",
		Long: `Show where the goroutines of each worker are, or of one, also if it hangs in an endless loop or in C code: the goroutine that runs its task is the
one with the task's function in it. The worker goes on with what it does; it stops for as long as it takes to look at the stacks, mostly less than a millisecond.

The worker itself answers, without a signal. One that is stopped, or gets no processor, cannot.

` + exitHelp,
		Example: `  shmctl stack
  shmctl stack demo --worker 2
  shmctl stack demo -o json | jq -r '.workers[].stacks'`,
		Args:              ofPool,
		ValidArgsFunction: completePools,
		RunE: runs(func(ctx context.Context, args []string) error {
			s, err := sh.pick(args)
			if err != nil {
				return err
			}
			defer s.close()
			all, err := sh.askAll(ctx, s, place, func(ctx context.Context, o *pool.Operator, who pool.Subject) ([]byte, error) {
				return o.Stacks(ctx, who)
			})
			if err != nil {
				return err
			}
			if err := sh.show(stacksOf(s, all)); err != nil {
				return err
			}
			return sh.silent(all)
		}),
	}
	cmd.Flags().IntVar(&place, "worker", -1, "the worker in this place alone")
	return cmd
}

func stacksOf(s *site, all []*utterance) stacks {
	r := stacks{Pool: s.name()}
	for _, u := range all {
		w := workerStack{Place: u.worker.Place, Pid: u.pid, Incarnation: u.worker.Incarnation, Stacks: string(u.text), doing: u.worker.Doing}
		if u.err != nil {
			w.Error = u.err.Error()
		}
		if u.worker.Task != nil {
			w.Function, w.doing = u.worker.Task.Function, "running "+doingWhat(s.first, u.worker)
		}
		r.Workers = append(r.Workers, w)
	}
	return r
}

func (r stacks) tables(bool) []table { return nil }

// text implements prose.
func (r stacks) text(headers bool) (text string) {
	for _, w := range r.Workers {
		if w.Stacks == "" {
			continue
		}
		if headers {
			text += fmt.Sprintf("WORKER %d, PROCESS %d, %s\n\n", w.Place, w.Pid, printable(w.doing))
		}
		text += printableLines(w.Stacks) + "\n"
	}
	return text
}
