package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// A deathLine is how a worker has ended, and what it was doing.
type deathLine struct {
	At          time.Time   `json:"at"`
	Place       int         `json:"place"`
	Incarnation uint32      `json:"incarnation"`
	Pid         int         `json:"pid"`
	Reason      string      `json:"reason"`
	Text        string      `json:"text"`
	Task        *deadTask   `json:"task,omitempty"` // that it ran
	Last        []eventLine `json:"last_events"`    // of the worker

	// In a crash file.

	ExitCode  *int   `json:"exit_code,omitempty"`
	Signal    string `json:"signal,omitempty"`
	Traceback string `json:"traceback,omitempty"`
}

type deadTask struct {
	ID       string        `json:"id"`
	Function string        `json:"function"`
	For      time.Duration `json:"for_ns"` // at most
}

func deathOf(d *pool.Death) deathLine {
	l := deathLine{At: d.At, Place: d.Place, Incarnation: d.Incarnation, Pid: d.Pid, Reason: d.Reason, Text: d.Text, Last: []eventLine{}}
	if d.Task != 0 {
		l.Task = &deadTask{taskID(d.Task), d.Function, max(d.At.Sub(d.Began), 0)}
	}
	for i := range d.Last {
		l.Last = append(l.Last, lineOfEvent(d.Place, &d.Last[i]))
	}
	return l
}

func deathsOf(snap *pool.Snapshot) []deathLine {
	all := []deathLine{}
	for i := len(snap.Deaths) - 1; i >= 0; i-- { // the last first, as errors are
		all = append(all, deathOf(&snap.Deaths[i]))
	}
	return all
}

// deathTables show the deaths, and all that is known of the last; of each, if that is asked for.
func deathTables(all []deathLine, now time.Time, wide bool) []table {
	if len(all) == 0 {
		return nil
	}
	t := table{title: "THE LAST DEATHS OF WORKERS", header: []string{"DIED", "WORKER", "PID", "WHY", "RAN", "FOR", "TASK", "HOW"}}
	tables := []table{t}
	for i := range all {
		d := &all[i]
		when := timeOf(max(now.Sub(d.At), 0)) + " ago"
		if wide {
			when = d.At.Local().Format(time.RFC3339)
		}
		fn, long, task := "-", "-", "-"
		if d.Task != nil {
			fn, long, task = d.Task.Function, timeOf(d.Task.For), d.Task.ID
		}
		tables[0].add(when, fmt.Sprint(d.Place), fmt.Sprint(d.Pid), strings.ReplaceAll(d.Reason, "_", " "), fn, long, task, d.Text)
		if len(d.Last) > 0 && (wide || i == 0) {
			e := eventTable(d.Last)
			e.title = fmt.Sprintf("WHAT PROCESS %d DID BEFORE", d.Pid)
			tables = append(tables, e)
		}
	}
	return tables
}
