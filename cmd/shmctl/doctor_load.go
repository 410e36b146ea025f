package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/shmkit/shmkit/internal/sys"
)

// What slows everybody down.

// load is how many threads run or want to, on average of a minute.
func (m machine) load() finding {
	f := finding{Check: "load", State: fine, Meaning: "threads that run or want to, in the last minute"}
	word, _, _ := strings.Cut(m.text("proc/loadavg"), " ")
	load, err := strconv.ParseFloat(word, 64)
	cpus := sys.CPUs()
	f.Found = fmt.Sprintf("%s for %s", word, plural(cpus, "CPU"))
	if err == nil && load > 1.5*float64(cpus) {
		f.State, f.Advice = warning, "tasks wait for processors that others have: see top"
	}
	return f
}

// pressure is the share of time in which somebody waited, by the kernel's own accounts.
func (m machine) pressure() finding {
	f := finding{Check: "pressure", State: fine, Meaning: "share of the last minute in which somebody waited for it"}
	var parts []string
	for _, what := range []struct {
		name, advice string
		most         float64
	}{
		{"cpu", "tasks wait for processors that others have: see top", 25},
		{"memory", "memory is so short that programs wait for it: see memory above", 5},
		{"io", "", 100},
	} {
		share, ok := m.waiting("proc/pressure/" + what.name)
		if !ok {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %.0f%%", what.name, share))
		if share > what.most {
			f.State, f.Advice = warning, what.advice
		}
	}
	if f.Found = strings.Join(parts, ", "); f.Found == "" {
		f.Found, f.Meaning = "unknown", "the kernel keeps no account of who waits"
	}
	return f
}

// waiting reads avg60 of the first line: some avg10=0.00 avg60=0.00 avg300=0.00 total=0.
func (m machine) waiting(name string) (share float64, ok bool) {
	for _, word := range strings.Fields(m.text(name)) {
		if v, is := strings.CutPrefix(word, "avg60="); is {
			share, err := strconv.ParseFloat(v, 64)
			return share, err == nil
		}
	}
	return 0, false
}

// throttling is what the control group's quota does to those who want more.
func (m machine) throttling() finding {
	f := finding{"throttling", fine, "none", "the control group stops its threads when its quota of CPU time is used up", ""}
	for _, file := range sys.GroupFiles(m.root, "cpu", "cpu.stat") {
		var periods, throttled float64
		for line := range strings.Lines(file.Text) {
			_, _ = fmt.Sscanf(line, "nr_periods %g", &periods)
			_, _ = fmt.Sscanf(line, "nr_throttled %g", &throttled)
		}
		if periods == 0 || throttled == 0 {
			continue
		}
		f.Found = fmt.Sprintf("in %.1f%% of periods", 100*throttled/periods)
		if throttled > periods/100 {
			f.State, f.Advice = warning, fmt.Sprintf("raise cpu.max beside /%s, or use fewer workers and threads", file.Path)
		}
		break
	}
	return f
}

// killings are the kernel's, for want of memory.
func (m machine) killings() finding {
	f := finding{"out of memory", fine, "no process was killed", "the kernel kills processes of a control group that has used up its memory", ""}
	for _, name := range []string{"memory.events", "memory.oom_control"} {
		for _, file := range sys.GroupFiles(m.root, "memory", name) {
			n := 0
			for line := range strings.Lines(file.Text) {
				_, _ = fmt.Sscanf(line, "oom_kill %d", &n)
			}
			if n > 0 {
				f.Found, f.State = fmt.Sprintf("%d killed", n), warning
				f.Advice = "workers among them show as crashed in ps: set MaxMemoryPerWorker, use fewer, or give the group more memory"
				return f
			}
		}
	}
	return f
}
