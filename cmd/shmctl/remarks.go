package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/pool"
)

// A remark is something about a pool that stands out, and what to do about it.
type remark struct {
	Text   string `json:"text"`
	Advice string `json:"advice"`
}

func remarkTable(all []remark) table {
	t := table{title: "WHAT STANDS OUT"}
	if len(all) == 0 {
		t.add("nothing")
	}
	for _, r := range all {
		t.addMarked(doubtful, "* "+r.Text)
		t.add("  -> " + r.Advice)
	}
	return t
}

const (
	longWait = time.Second
	longRun  = 10 * time.Second
)

// A critic says what makes a pool slow or stuck, as far as that can be seen from one look.
type critic struct {
	*site
	*pool.Snapshot
	all []remark

	serving, busy, hungry int           // workers
	starved, lived        time.Duration // of all of them
}

func remarksOn(s *site, snap *pool.Snapshot) []remark {
	c := &critic{site: s, Snapshot: snap, all: []remark{}}
	c.ofDeath()
	c.ofState()
	for i := range snap.Workers {
		c.ofWorker(&snap.Workers[i])
	}
	c.ofQueue()
	c.ofMachine()
	c.ofMemory()
	c.ofPast()
	return c.all
}

func (c *critic) say(advice, format string, args ...any) {
	c.all = append(c.all, remark{fmt.Sprintf(format, args...), advice})
}

// ofDeath says of what the image was made, if it is one of that kind.
func (c *critic) ofDeath() {
	if c.observer == nil {
		return
	}
	if d := c.observer.Death(); d != nil {
		c.say("see dump for its last events and its traceback; of the other workers the file has no times and no events", "This was written when worker %d (process %d) ended: %s.", d.Place, d.Pid, howEnded(d))
	}
}

func howEnded(d *pool.Death) string {
	how := strings.ReplaceAll(d.Reason, "_", " ")
	switch {
	case d.Signal != "":
		return how + ", " + d.Signal
	case d.ExitCode >= 0:
		return fmt.Sprintf("%s, exit status %d", how, d.ExitCode)
	}
	return how
}

func (c *critic) ofState() {
	switch c.State {
	case pool.PoolClosed:
		c.say("this is how it was before", "The pool was closed.")
	case pool.PoolDead:
		c.say("its workers end by themselves; this is what it was doing last", "Its parent, process %d, has ended without closing it.", c.Parent)
	case pool.PoolMoved:
		c.say("its blocks are still held by the program: Release them", "This memory is an old one of the pool's: it was rebuilt.")
	}
}

func (c *critic) ofWorker(w *pool.WorkerSnapshot) {
	if w.State == "serving" {
		c.serving++
	}
	if w.Task != nil {
		c.busy++
	}
	if w.Doing == "hungry" {
		c.hungry++
	}
	pid := c.outer(w.Pid)
	if d, err := sys.RunDelay(pid); pid != 0 && err == nil {
		c.starved, c.lived = c.starved+d, c.lived+c.Taken.Sub(w.Since)
	}
	here := cmp.Or(pid, w.Pid)
	who := fmt.Sprintf("Worker %d (process %d)", w.Place, here)
	if st, err := sys.StatusOf(pid); pid != 0 && err == nil && st.Stopped {
		c.say(fmt.Sprintf("kill -CONT %d; while there are tasks, the pool ends it by itself after Options.Grace", pid), "%s is stopped.", who)
	}
	if w.Task != nil && c.Taken.Sub(w.Task.Since) > longRun {
		c.say(fmt.Sprintf("if that is too long: kill -QUIT %d for its stack; bound it with Options.TaskTimeout", here), "%s has run %s for %s.",
			who, w.Task.Function, timeOf(c.Taken.Sub(w.Task.Since)))
	}
	if w.State == "undead" {
		c.say("it waits in the kernel: see /proc/PID/wchan, and the file system or device that it uses", "%s was killed and does not die.", who)
	}
	if n := w.Ends["not_started"]; n > 2 {
		c.say("see the program's standard error: Init fails, or the machine starts no process: doctor", "Worker %d could not start %s.", w.Place, times(n))
	}
}

func (c *critic) ofQueue() {
	q := c.Queue
	old := q.Oldest >= longWait
	switch {
	case q.Waiting > 0 && c.serving == 0 && c.State == pool.PoolOpen:
		c.say("see ps for why they ended, and the program's standard error", "%s, and there is no worker.", waits(q.Waiting))
	case q.Waiting > 0 && c.busy >= c.serving && old:
		c.say("see hist for what takes so long; use more workers if there are CPUs left", "%s, the oldest for %s: no worker is free.", waits(q.Waiting),
			timeOf(q.Oldest))
	case q.Waiting > 0 && old:
		c.say("look again: if this stays, report it, with the file that dump --to writes", "%s, the oldest for %s, although not all workers are busy.",
			waits(q.Waiting), timeOf(q.Oldest))
	}
	if q.Slots > 0 && q.Free == 0 {
		c.say("callers wait in Go and Call until a task ends: that is the brake, unless Options.Queue is too small", "All %d slots are taken.", q.Slots)
	}
	if q.Ended > q.Slots/2 {
		c.say("the program is stopped, is kept from running, or waits for no result: look at its goroutines",
			"%d results lie there and the parent does not take them.", q.Ended)
	}
}

func (c *critic) ofMachine() {
	if c.lived > longWait && c.starved > c.lived/5 {
		c.say("others have the processors: see doctor and top, or use fewer workers", "The workers have waited for a processor for %.0f%% of their lives.",
			100*float64(c.starved)/float64(c.lived))
	}
}

func (c *critic) ofMemory() {
	const advice = "raise Options.Memory, or have the program release its blocks sooner"
	m := &c.Snapshot.Memory
	switch {
	case c.hungry > 0:
		c.say(advice, "%s for memory; %s of %s are held.", waits(c.hungry), bytesOf(m.Blocks), bytesOf(m.Size))
	case m.Size > 0 && m.Blocks > m.Size/10*9:
		c.say(advice, "The memory is nearly full: %s of %s are held.", bytesOf(m.Blocks), bytesOf(m.Size))
	}
}

func (c *critic) ofPast() {
	n := c.Counters
	if n.Deaths > 0 {
		c.say("see ps for the reasons, and errors for the tasks that it hit", "%s died.", plural(int(min(n.Deaths, 1<<31)), "worker"))
	}
	if done := ended(n); n.Failed > 0 && n.Failed >= done/100 {
		c.say("see errors", "%.3g%% of all tasks failed.", 100*float64(n.Failed)/float64(max(done, 1)))
	}
	if n.Rebuilds > 0 {
		c.say("a worker writes where it must not: look for unsafe and C code in what it runs", "The pool has got new memory %s: the old one was corrupt, or Rebuild was called.",
			times(n.Rebuilds))
	}
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func waits(n int) string {
	if n == 1 {
		return "1 task waits"
	}
	return fmt.Sprintf("%d tasks wait", n)
}
