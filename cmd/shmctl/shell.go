package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// A shell is what all commands have in common: where they write, and how.
type shell struct {
	out       io.Writer
	notes     io.Writer // what is no answer
	format    string
	noHeaders bool
}

var formats = []string{"table", "wide", "json", "yaml"}

// newRoot makes the command with all others below it.
func newRoot(sh *shell) *cobra.Command {
	root := &cobra.Command{
		Use:   "shmctl",
		Short: "What are my pools doing, and why are they slow or stuck?",
		Long: `Shmctl shows what the pools of shmkit on this machine are doing.

It finds them through /proc, reads what they say of themselves in their memory, and neither stops nor slows anything,
but for kill, which ends what you name, and stack and pprof, for which workers pause for a moment. It sees the pools of its
own user, and as root those of all users.

POOL is a pool's name, or the pid of the program that has it or of one of its workers, or PID/FD if that is not enough; it can be left out where
there is one pool alone. Instead of one, most commands take --file FILE: an image that dump --to or Options.CrashDir has left.

` + exitHelp,
		Example: `  shmctl ls                    # what is there?
  shmctl stat -i 1s            # what is it doing, second by second?
  shmctl ps                    # who is busy with what, and since when?
  shmctl hist                  # which function is slow, or waits?
  shmctl errors                # what went wrong, how often, when?
  shmctl trace -o t.json       # look at it in ui.perfetto.dev
  shmctl stack                 # where exactly does it hang?
  shmctl pprof -o cpu.pb.gz    # for what does it need the processors?
  shmctl kill --worker 2       # end what hangs
  shmctl doctor                # is it the machine?`,
		Args:          sh.noSuchCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVarP(&sh.format, "output", "o", "table", "how to write it: "+strings.Join(formats, ", "))
	root.PersistentFlags().BoolVar(&sh.noHeaders, "no-headers", false, "leave out the headers of tables")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(formats, sh.format) {
			return fmt.Errorf("output %q: it must be one of %s", sh.format, strings.Join(formats, ", "))
		}
		return nil
	}
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	root.SuggestionsMinimumDistance = 2
	root.SetOut(sh.out)
	root.SetErr(sh.notes)
	for _, command := range commands {
		root.AddCommand(command(sh))
	}
	return root
}

func (sh *shell) noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no command %q: did you mean %q?", args[0], near[0])
	}
	return fmt.Errorf("there is no command %q", args[0])
}

// runs makes a command's work of f. What goes wrong there is no fault in the arguments.
func runs(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), args)
		if e := (*exit)(nil); err == nil || errors.As(err, &e) {
			return err
		}
		return &exit{exitFailed, err}
	}
}

// note says something that is not part of the answer.
func (sh *shell) note(format string, args ...any) {
	fmt.Fprintf(sh.notes, "shmctl: "+format+"\n", args...)
}

// colours reports whether the answer is for eyes that like colours.
func (sh *shell) colours() bool {
	f, is := sh.out.(*os.File)
	return is && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
