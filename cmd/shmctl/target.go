package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/internal/layout"
)

// A target is the pool that a command looks at: one that lives, as its argument names it, or an image in a file.
type target struct {
	sh   *shell
	file string
}

// target gives cmd its argument and its flag.
func (sh *shell) target(cmd *cobra.Command) *target {
	t := &target{sh: sh}
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = completePools
	cmd.Flags().StringVar(&t.file, "file", "", "look at an image that dump --to or Options.CrashDir has left, instead of a pool")
	_ = cmd.MarkFlagFilename("file")
	return t
}

// open returns what the command is to look at. The caller closes it.
func (t *target) open(args []string) (*site, error) {
	switch {
	case t.file == "":
		return t.sh.pick(args)
	case len(args) > 0:
		return nil, &exit{exitUsage, fmt.Errorf("the pool %q, or the file %s? Say one of them", args[0], t.file)}
	}
	return pickFile(t.file)
}

// pickFile returns the pool of which an image was written to a file.
func pickFile(path string) (*site, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &site{kind: layout.KindPool}
	if s.observe(f); s.err != nil {
		return nil, fmt.Errorf("%s: %w", path, s.err)
	}
	return s, nil
}
