package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// follow shows a pool again and again, until ctx or the pool ends, or so many times.
func (sh *shell) follow(ctx context.Context, s *site, every time.Duration, lines int) error {
	tick := time.NewTicker(max(every, time.Millisecond))
	defer tick.Stop()
	before := s.first
	if err := sh.lastWords(s, before); err != nil {
		return err
	}
	for n := 0; lines == 0 || n < lines; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		snap, err := s.look()
		if snap == nil {
			return err
		}
		st := statusOf(s, snap)
		st.Interval = between(before, snap)
		if e := sh.showLine(st, n); e != nil {
			return e
		}
		if err != nil {
			return err
		}
		before = snap
	}
	return nil
}

// lastWords shows a pool that has ended already.
func (sh *shell) lastWords(s *site, snap *pool.Snapshot) error {
	if !hasEnded(snap) {
		return nil
	}
	if err := sh.show(statusOf(s, snap)); err != nil {
		return err
	}
	return errEnded(snap)
}

func between(before, now *pool.Snapshot) *interval {
	d := now.Taken.Sub(before.Taken)
	per := func(now, before uint64) float64 { return float64(int64(now-before)) / max(d.Seconds(), 1e-9) }
	a, b := now.Counters, before.Counters
	return &interval{Length: d, Accepted: per(a.Accepted, b.Accepted), Ended: per(ended(a), ended(b)), Failed: per(a.Failed, b.Failed),
		Deaths: per(a.Deaths, b.Deaths), Woken: per(a.Woken, b.Woken),
		Bytes: per(a.ArgumentBytes+a.ResultBytes, b.ArgumentBytes+b.ResultBytes)}
}

// columns are those of the lines of stat -i, each with its width.
var columns = []struct {
	name  string
	width int
}{{"TIME", 8}, {"ENDED/s", 8}, {"FAILED/s", 8}, {"DIED", 4}, {"WAITING", 7}, {"OLDEST", 7}, {"RUNNING", 7}, {"IDLE", 4}, {"HUNGRY", 6},
	{"WOKEN/s", 8}, {"BYTES/s", 9}, {"MEMORY", 9}}

const linesPerHeader = 20

func (sh *shell) showLine(st *status, n int) error {
	if sh.format == "json" || sh.format == "yaml" {
		return sh.showData(st)
	}
	if n%linesPerHeader == 0 && !sh.noHeaders {
		var names []string
		for _, c := range columns {
			names = append(names, c.name)
		}
		if err := sh.writeLine(names); err != nil {
			return err
		}
	}
	i, doing := st.Interval, st.Workers.Doing
	died := i.Deaths * i.Length.Seconds()
	return sh.writeLine([]string{st.Taken.Local().Format(time.TimeOnly), rateOf(i.Ended), rateOf(i.Failed), fmt.Sprintf("%.0f", died),
		fmt.Sprint(st.Tasks.Waiting), oldestOf(st.Tasks), fmt.Sprint(st.Tasks.Running + st.Tasks.Stopping),
		fmt.Sprint(doing["looking"] + doing["napping"] + doing["sleeping"]), fmt.Sprint(doing["hungry"]),
		rateOf(i.Woken), bytesOf(int64(i.Bytes)), bytesOf(st.Memory.Blocks)})
}

// oldestOf shows for how long tasks have waited, if that is known.
func oldestOf(t tasks) string {
	if t.Oldest == 0 {
		return "-"
	}
	return timeOf(t.Oldest)
}

func (sh *shell) writeLine(cells []string) error {
	var line strings.Builder
	for i, c := range cells {
		fmt.Fprintf(&line, "%*s  ", columns[i].width, c)
	}
	_, err := io.WriteString(sh.out, strings.TrimRight(line.String(), " ")+"\n")
	return err
}

// rateOf shows a number per second.
func rateOf(v float64) string {
	switch {
	case v < 0:
		return "?"
	case v < 10 && v > 0:
		return threeDigits(v)
	}
	return countOf(uint64(min(v, 1<<62)))
}
