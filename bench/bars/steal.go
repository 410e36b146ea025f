package main

import (
	"fmt"
	"os"
	"strings"
)

// A times is the processors' time since boot, in ticks: all of it, and what the host of this virtual
// machine has given to others meanwhile.
type times struct{ all, stolen uint64 }

// readTimes reads /proc/stat; where there is none, nothing is known to be stolen.
func readTimes() times {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return times{}
	}
	return parseTimes(string(text))
}

// parseTimes takes the first line: "cpu" and the ticks in user mode, nice, system, idle, iowait, irq,
// softirq, stolen.
func parseTimes(stat string) (t times) {
	line, _, _ := strings.Cut(stat, "\n")
	var part [8]uint64
	if _, err := fmt.Sscanf(line, "cpu %d %d %d %d %d %d %d %d",
		&part[0], &part[1], &part[2], &part[3], &part[4], &part[5], &part[6], &part[7]); err != nil {
		return times{}
	}
	for _, n := range part {
		t.all += n
	}
	t.stolen = part[7]
	return t
}

// stolenSince returns the share of the time since before that others have had.
func (t times) stolenSince(before times) float64 {
	if t.all == before.all {
		return 0
	}
	return float64(t.stolen-before.stolen) / float64(t.all-before.all)
}
