package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/internal/layout"
)

type versions struct {
	Shmctl string `json:"shmctl"`
	Layout int    `json:"layout"` // of shared memory: it reads that of no other
	Go     string `json:"go"`
	System string `json:"system"`
}

func (v versions) tables(bool) []table {
	t := table{}
	t.add("shmctl", v.Shmctl)
	t.add("layout", strconv.Itoa(v.Layout))
	t.add("go", v.Go)
	t.add("system", v.System)
	return []table{t}
}

func newVersion(sh *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Which shmctl is this, and which layout of memory does it read?",
		Args:  cobra.NoArgs,
		RunE: runs(func(context.Context, []string) error {
			v := versions{Shmctl: "(unknown)", Layout: layout.Version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				v.Shmctl = info.Main.Version
			}
			return sh.show(v)
		}),
	}
}
