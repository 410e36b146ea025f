package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

// A finding is what one look at the machine has found.
type finding struct {
	Check   string `json:"check"`
	State   state  `json:"state"`
	Found   string `json:"found"`
	Meaning string `json:"meaning"`
	Advice  string `json:"advice,omitempty"` // there is something to do
}

// A state says how good that is.
type state string

const (
	fine    state = "ok"
	warning state = "warn" // slower than it could be, or soon in the way
	broken  state = "bad"  // something does not work
)

var marks = map[state]mark{fine: plain, warning: doubtful, broken: bad}

type diagnosis struct {
	Findings []finding `json:"findings"`
}

func (d diagnosis) tables(bool) []table {
	t := table{header: []string{"", "CHECK", "FOUND", "WHAT IT MEANS"}}
	for _, f := range d.Findings {
		t.addMarked(marks[f.State], string(f.State), f.Check, f.Found, f.Meaning)
		if f.Advice != "" {
			t.addMarked(marks[f.State], "", "", "", "-> "+f.Advice)
		}
	}
	return []table{t}
}

// A machine is where the checks look: the root of its file system. What is no file they ask the kernel for.
type machine struct{ root fs.FS }

// checks are all looks at a machine, in the order in which they are shown.
var checks = []func(machine) finding{
	machine.kernel, machine.memoryFiles, machine.pidfds, machine.futexWaitv, machine.membarrier, machine.seccomp, machine.ptraceScope,
	machine.cpus, machine.throttling, machine.load, machine.pressure,
	machine.memory, machine.killings, machine.sharedFolder, machine.hugePages, machine.transparentPages,
	machine.openFiles, machine.processes, machine.groupPids, machine.lockedMemory,
}

func newDoctor(sh *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Is it the machine? Features, limits and load, what they mean and what to do",
		Long: `Look at what shmkit needs of this machine, and at what slows programs down on it: the kernel's features, the limits of the control group and of
this user, memory, and load. The limits are those of the shell in which doctor runs: a service may have others.

` + exitHelp,
		Example: `  shmctl doctor
  shmctl doctor -o json | jq '.findings[] | select(.state != "ok")'`,
		Args: cobra.NoArgs,
		RunE: runs(func(context.Context, []string) error { return sh.examine(machine{os.DirFS("/")}) }),
	}
}

func (sh *shell) examine(m machine) error {
	var d diagnosis
	ill := 0
	for _, check := range checks {
		f := check(m)
		d.Findings = append(d.Findings, f)
		if f.State == broken {
			ill++
		}
	}
	if err := sh.show(d); err != nil {
		return err
	}
	if ill > 0 {
		return wrong(fmt.Errorf("%s found that keeps shmkit from working", plural(ill, "problem")))
	}
	return nil
}
