package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// A target is the pool that a command looks at: one that lives, as its argument names it, or an image in a file.
type target struct {
	sh   *shell
	file string
}

// target gives cmd its argument and its flag.
func (sh *shell) target(cmd *cobra.Command) *target {
	t := &target{sh: sh}
	cmd.Args = ofPool
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

// openAny is open for commands that look at other memory, too: what it returns is a pool, or a segment. The caller closes it.
func (t *target) openAny(args []string) (*site, *segment, error) {
	switch {
	case t.file != "" && len(args) == 0:
		return pickAnyFile(t.file)
	case t.file != "" || len(args) == 0:
		s, err := t.open(args)
		return s, nil, err
	}
	s, census, err := find(args, (*site).isPool)
	if err == nil || codeOf(err) != exitWrong {
		return s, nil, err
	}
	seg, e := findSegment(args[0])
	if seg != nil || e != nil {
		return nil, seg, e
	}
	t.sh.noteBlind(census)
	return nil, nil, err
}

// pickFile returns the pool of which an image was written to a file.
func pickFile(path string) (*site, error) {
	f, err := sys.OpenQuick(path)
	if err != nil {
		return nil, err
	}
	s := &site{kind: layout.KindPool}
	if s.observe(f); s.err != nil {
		return nil, fmt.Errorf("%s: %w", path, s.err)
	}
	return s, nil
}

// pickAnyFile returns what is in a file: a pool, an image of one, or a segment.
func pickAnyFile(path string) (*site, *segment, error) {
	s, err := pickFile(path)
	if err == nil || !errors.Is(err, layout.ErrNotShmkit) && !errors.Is(err, layout.ErrKind) {
		return s, nil, err
	}
	seg, err := openSegment(path, filepath.Base(path))
	return nil, seg, err
}
