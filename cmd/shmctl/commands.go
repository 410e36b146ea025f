package main

import "github.com/spf13/cobra"

// commands make the commands, in the order in which help lists them.
var commands = []func(*shell) *cobra.Command{
	newLs, newStat, newPs, newHist, newErrors, newDump, newCheck, newTrace, newStack, newPprof, newKill, newGC, newRm, newDoctor, newDemo, newBench, newMan, newVersion,
}
