package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan(sh *shell) *cobra.Command {
	dir := ""
	cmd := &cobra.Command{
		Use:   "man [COMMAND]",
		Short: "Manual pages: of a command, or of all into a directory",
		Long: `Write the manual page of shmctl, or of one of its commands, for man to show; with --dir one file for each command.

` + exitHelp,
		Example: `  shmctl man | man -l -
  shmctl man stat | man -l -
  shmctl man --dir ~/.local/share/man/man1`,
		ValidArgsFunction: completeCommands,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, rest, err := cmd.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return fmt.Errorf("there is no command %q", strings.Join(args, " "))
		}
		if dir != "" && len(args) > 0 {
			return fmt.Errorf("%q and a directory: the pages of all commands go there", strings.Join(args, " "))
		}
		return runs(func(context.Context, []string) error {
			if dir != "" {
				return sh.manAll(cmd.Root(), dir)
			}
			page, err := manOf(of)
			if err == nil {
				_, err = sh.out.Write(page)
			}
			return err
		})(cmd, args)
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write the pages of all commands into this directory")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

func completeCommands(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		for _, c := range cmd.Root().Commands() {
			names = append(names, c.Name())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// manOf returns the page of one command.
func manOf(cmd *cobra.Command) ([]byte, error) {
	cmd.Root().DisableAutoGenTag = true // who has made the page is no history of the command's
	var page bytes.Buffer
	err := doc.GenMan(cmd, &doc.GenManHeader{Section: "1", Source: "shmkit", Manual: "shmctl"}, &page)
	return page.Bytes(), err
}

// manAll writes the pages of a command and of those below it.
func (sh *shell) manAll(cmd *cobra.Command, dir string) error {
	page, err := manOf(cmd)
	if err != nil {
		return err
	}
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
	if err := os.WriteFile(filepath.Join(dir, name), page, 0o644); err != nil {
		return err
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && !c.IsAdditionalHelpTopicCommand() {
			if err := sh.manAll(c, dir); err != nil {
				return err
			}
		}
	}
	return nil
}
