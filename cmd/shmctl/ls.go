package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/internal/inspect"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/pool"
	"github.com/shmkit/shmkit/shm"
)

type listing struct {
	Pools      []listedPool    `json:"pools"`
	Memory     []listedMemory  `json:"memory"`
	Unreadable []listedProcess `json:"unreadable"`
}

type listedPool struct {
	Name    string         `json:"name"`
	Pid     int            `json:"pid"`
	FD      int            `json:"fd"`
	Inner   int            `json:"pid_in_its_namespace,omitempty"`
	Program string         `json:"program"`
	State   pool.PoolState `json:"state"`
	Error   string         `json:"error,omitempty"`
	Workers int            `json:"workers"` // that serve
	Wanted  uint64         `json:"workers_wanted"`
	Running int            `json:"tasks_running"`
	Waiting int            `json:"tasks_waiting"`
	Ended   uint64         `json:"tasks_ended"`
	Blocks  int64          `json:"memory_blocks_bytes"`
	Backed  int64          `json:"memory_backed_bytes"`
	Size    int64          `json:"memory_size_bytes"`
	Born    time.Time      `json:"born,omitzero"`

	age time.Duration
}

type listedMemory struct {
	Kind string          `json:"kind"`
	Name string          `json:"name"`
	Size int64           `json:"size_bytes"`
	Has  []string        `json:"structures"` // their kinds
	Held bool            `json:"held"`       // by a program of shmkit's, if it is a named segment
	Used []listedProcess `json:"processes"`

	users []inspect.Use
}

type listedProcess struct {
	Pid     int    `json:"pid"`
	Program string `json:"program"`
	Reason  string `json:"reason,omitempty"` // it cannot be looked into
}

func newLs(sh *shell) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "What is there? Pools, named segments and other memory of this user's",
		Long: `List the pools of this user, or of all users for root, with what they are doing, and all other memory that shmkit's programs share: named
segments in /dev/shm, queues, rings.

` + exitHelp,
		Example: `  shmctl ls
  shmctl ls -o json | jq -r '.pools[] | select(.tasks_waiting > 0) | .name'`,
		Args: cobra.NoArgs,
		RunE: runs(func(context.Context, []string) error { return sh.list() }),
	}
}

func (sh *shell) list() error {
	all, err := lookAround()
	if err != nil {
		return err
	}
	defer all.close()
	l := listing{Pools: []listedPool{}, Memory: []listedMemory{}, Unreadable: []listedProcess{}}
	for _, s := range all.sites {
		if s.isPool() {
			l.Pools = append(l.Pools, sh.listPool(s))
		} else {
			l.Memory = append(l.Memory, s.listMemory())
		}
	}
	if err := l.addNamed(all.Census); err != nil {
		return err
	}
	for _, b := range all.Blind {
		l.Unreadable = append(l.Unreadable, listedProcess{b.Pid, b.Command, b.Err.Error()})
	}
	if err := sh.show(l); err != nil {
		return err
	}
	if len(l.Pools)+len(l.Memory) == 0 {
		sh.note("no pools and no segments; try 'shmctl demo' in another terminal")
	}
	if sh.format == "table" { // the others say it themselves
		sh.noteBlind(all.Census)
	}
	return nil
}

func (sh *shell) listPool(s *site) listedPool {
	p := listedPool{Name: s.name(), Pid: s.pid(), FD: s.fd(), Size: s.Size}
	for _, u := range s.Uses {
		if u.Pid == p.Pid {
			p.Program = u.Command
			if u.Foreign() {
				p.Inner = u.Inner
			}
		}
	}
	if s.err != nil {
		p.State, p.Error = "unreadable", s.err.Error()
		if errors.Is(s.err, layout.ErrVersion) {
			p.State = "other layout"
		}
		sh.note("pool %q of process %d: %v", p.Name, p.Pid, s.err)
		return p
	}
	first := s.first
	p.State, p.Born, p.age = first.State, first.Born, first.Taken.Sub(first.Born)
	p.Wanted, p.Running, p.Waiting = first.Wanted, first.Queue.Running+first.Queue.Stopping, first.Queue.Waiting
	p.Ended = ended(first.Counters)
	p.Blocks, p.Backed = first.Memory.Blocks, first.Memory.Backed
	for _, w := range first.Workers {
		if w.State == "serving" && w.Alive || p.Inner != 0 && w.State == "serving" {
			p.Workers++
		}
	}
	return p
}

// ended returns how many tasks have ended, in any way.
func ended(c pool.Counters) uint64 { return c.Succeeded + c.Failed + c.Cancelled }

// listMemory lists what is no pool's.
func (s *site) listMemory() listedMemory {
	m := memoryOf("memory", s.Memory, true)
	if f, err := s.Open(); err == nil {
		defer f.Close()
		m.Has = kindsIn(f, s.Size)
	}
	return m
}

func memoryOf(kind string, m inspect.Memory, held bool) listedMemory {
	out := listedMemory{Kind: kind, Name: m.Name, Size: m.Size, Held: held, Has: []string{}, Used: []listedProcess{}, users: m.Uses}
	for _, u := range m.Uses {
		out.Used = append(out.Used, listedProcess{Pid: u.Pid, Program: u.Command})
	}
	return out
}

func (l *listing) addNamed(census *inspect.Census) error {
	named, err := shm.List()
	if err != nil || len(named) == 0 {
		return err
	}
	census.LookAtMappings()
	for _, s := range named {
		m := inspect.Memory{Name: s.Name, Size: s.Size, Uses: census.UsersOf(shmFolder + s.Name)}
		listed := memoryOf("named segment", m, s.Held)
		if seg, err := openSegment(shmFolder+s.Name, s.Name); err == nil {
			listed.Has = kindsIn(seg.f, seg.size)
			seg.close()
		}
		l.Memory = append(l.Memory, listed)
	}
	return nil
}

func (l listing) tables(wide bool) []table {
	var all []table
	if len(l.Pools) > 0 {
		all = append(all, l.pools(wide))
	}
	if len(l.Memory) > 0 {
		all = append(all, l.memory())
	}
	if wide && len(l.Unreadable) > 0 {
		t := table{header: []string{"PROCESS", "PROGRAM", "CANNOT BE LOOKED INTO"}}
		for _, p := range l.Unreadable {
			t.add(fmt.Sprint(p.Pid), p.Program, p.Reason)
		}
		all = append(all, t)
	}
	return all
}

func (l listing) pools(wide bool) table {
	t := table{header: []string{"POOL", "PID", "STATE", "WORKERS", "RUNNING", "WAITING", "ENDED", "MEMORY", "AGE", "PROGRAM"}}
	if wide {
		t.header = append(t.header, "FD", "BACKED", "LIMIT", "NAMESPACE PID")
	}
	for _, p := range l.Pools {
		cells := []string{p.Name, fmt.Sprint(p.Pid), string(p.State)}
		m := plain
		if p.Error != "" {
			cells, m = append(cells, "?", "?", "?", "?", "?", "?", p.Program), doubtful
		} else {
			cells = append(cells, fmt.Sprintf("%d/%d", p.Workers, p.Wanted), fmt.Sprint(p.Running), fmt.Sprint(p.Waiting), countOf(p.Ended),
				bytesOf(p.Blocks), timeOf(p.age), p.Program)
		}
		if p.State != pool.PoolOpen {
			m = doubtful
		}
		if wide {
			inner := ""
			if p.Inner != 0 {
				inner = fmt.Sprint(p.Inner)
			}
			cells = append(cells, fmt.Sprint(p.FD), bytesOf(p.Backed), bytesOf(p.Size), inner)
		}
		t.addMarked(m, cells...)
	}
	return t
}

func (l listing) memory() table {
	t := table{header: []string{"KIND", "NAME", "SIZE", "HOLDS", "USED BY"}}
	for _, m := range l.Memory {
		users, looks := usersOf(m.users), plain
		switch {
		case users != "":
		case m.Held:
			users = "a process that cannot be seen from here"
		default:
			users, looks = "nobody", doubtful
		}
		t.addMarked(looks, m.Kind, strings.TrimSpace(m.Name), bytesOf(m.Size), dash(someOf(m.Has)), users)
	}
	return t
}
