package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// ofPool is for commands whose argument is a pool, or nothing.
var ofPool = cobra.MaximumNArgs(1)

func completePools(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	all, err := lookAround()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer all.close()
	var names []string
	for _, s := range all.sites {
		if s.isPool() && !s.isOld() {
			names = append(names, cobra.CompletionWithDesc(printable(s.name()), fmt.Sprintf("pool of process %d", s.pid())))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
