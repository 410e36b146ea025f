package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/shmkit/shmkit/internal/inspect"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/pool"
)

// A site is a pool's memory, or what might be some, as it was found.
type site struct {
	inspect.Memory
	kind     layout.Kind    // KindSegment for memory without a header, too
	err      error          // it cannot be read
	observer *pool.Observer // of a pool that can be
	first    *pool.Snapshot
	left     time.Time // when it was seen that the pool has other memory
}

// survey looks at all memory files of shmkit's. The caller closes it.
type survey struct {
	*inspect.Census
	sites []*site
}

func lookAround() (*survey, error) {
	census, err := inspect.Look()
	if err != nil {
		return nil, err
	}
	s := &survey{Census: census}
	for _, m := range census.Anonymous {
		if one := visit(m); !errors.Is(one.err, fs.ErrNotExist) { // gone meanwhile
			s.sites = append(s.sites, one)
		}
	}
	return s, nil
}

func (s *survey) close() {
	for _, one := range s.sites {
		one.close()
	}
}

func (s *site) close() {
	if s.observer != nil {
		_ = s.observer.Close() // it was only read
	}
}

// visit finds out what the memory is.
func visit(m inspect.Memory) *site {
	s := &site{Memory: m, kind: layout.KindSegment}
	f, err := m.Open()
	if err != nil {
		s.err = err
		return s
	}
	if s.kind, err = kindOf(f); err != nil || s.kind != layout.KindPool {
		f.Close()
		s.err = err
		return s
	}
	s.observe(f)
	return s
}

// kindOf returns what begins at the start of f. Memory that does not begin like a structure of shmkit's is a segment with something else in it.
func kindOf(f *os.File) (layout.Kind, error) {
	front := layout.SliceBytes(make([]uint64, layout.HeaderSize/8))
	if _, err := f.ReadAt(front, 0); err != nil {
		return layout.KindSegment, nil // too small for a header
	}
	kind, err := layout.KindOf(front)
	if errors.Is(err, layout.ErrNotShmkit) {
		return layout.KindSegment, nil
	}
	return kind, err
}

// observe takes f over.
func (s *site) observe(f *os.File) {
	o, err := pool.Observe(f)
	if err != nil {
		f.Close()
		s.err = err
		return
	}
	if s.first, s.err = o.Snapshot(); s.err != nil {
		o.Close()
		return
	}
	s.observer = o
	s.correct(s.first)
}

// correct sees that a parent that lives in a pid namespace of its own is not taken for dead as long as it has the memory.
func (s *site) correct(snap *pool.Snapshot) {
	if u := s.parent(snap); snap.State == pool.PoolDead && u != nil && u.Foreign() && s.StillHas(*u) {
		snap.State = pool.PoolOpen
	}
}

// parent returns the process that made the pool, nil if it has ended or cannot be seen.
func (s *site) parent(snap *pool.Snapshot) *inspect.Use {
	i := slices.IndexFunc(s.Uses, func(u inspect.Use) bool { return u.Inner == snap.Parent })
	if i < 0 {
		return nil
	}
	return &s.Uses[i]
}

// pid returns the pid to speak of: the parent's, as it is known here, or that of somebody who has the memory.
func (s *site) pid() int {
	switch {
	case s.first != nil && s.parent(s.first) != nil:
		return s.parent(s.first).Pid
	case len(s.Uses) > 0:
		return s.Uses[0].Pid
	case s.first != nil:
		return s.first.Parent
	}
	return 0
}

// outer returns the pid here of a process that the pool knows as pid, 0 if it does not have the memory.
func (s *site) outer(pid int) int {
	for _, u := range s.Uses {
		if u.Inner == pid {
			return u.Pid
		}
	}
	return 0
}

// fd returns the descriptor of that process.
func (s *site) fd() int {
	i := slices.IndexFunc(s.Uses, func(u inspect.Use) bool { return u.Pid == s.pid() })
	if i < 0 {
		return -1
	}
	return s.Uses[i].FD
}

func (s *site) name() string {
	if s.first != nil {
		return cmp.Or(s.first.Name, s.Name)
	}
	return s.Name
}

// called reports whether that is how somebody would call the pool: by name, by pid of anybody who has it, or by PID/FD.
func (s *site) called(what string) bool {
	if what == s.name() || what == fmt.Sprintf("%d/%d", s.pid(), s.fd()) {
		return true
	}
	return slices.ContainsFunc(s.Uses, func(u inspect.Use) bool { return what == fmt.Sprint(u.Pid) })
}

// isPool reports whether the site is a pool's, or may be one's that cannot be read.
func (s *site) isPool() bool { return s.kind == layout.KindPool || s.err != nil }

// pick returns the pool that args name, or the only one there is. The caller closes it.
func (sh *shell) pick(args []string) (*site, error) {
	s, census, err := find(args, (*site).isPool)
	if err != nil && codeOf(err) == exitWrong {
		sh.noteBlind(census)
	}
	return s, err
}

// find returns the site, of those that are wanted, that args name, or the only one there is. The caller closes it.
func find(args []string, wanted func(*site) bool) (*site, *inspect.Census, error) {
	what := ""
	if len(args) > 0 {
		what = args[0]
	}
	all, err := lookAround()
	if err != nil {
		return nil, nil, err
	}
	var fit []*site
	for _, s := range all.sites {
		if wanted(s) && (what == "" && !s.isOld() || s.called(what)) {
			fit = append(fit, s)
		}
	}
	if current := slices.DeleteFunc(slices.Clone(fit), (*site).isOld); len(current) > 0 {
		fit = current
	}
	for _, s := range all.sites {
		if len(fit) != 1 || s != fit[0] {
			s.close()
		}
	}
	switch {
	case len(fit) == 0:
		return nil, all.Census, noPool(what)
	case len(fit) > 1:
		return nil, all.Census, ambiguous(fit)
	case fit[0].err != nil:
		return nil, all.Census, fit[0].err
	}
	return fit[0], all.Census, nil
}

// isOld reports whether the pool has other memory by now.
func (s *site) isOld() bool { return s.first != nil && s.first.State == pool.PoolMoved }

func noPool(what string) error {
	if what == "" {
		return wrong(errors.New("there is no pool; try 'shmctl demo' in another terminal"))
	}
	return wrong(fmt.Errorf("there is no pool %q: see 'shmctl ls'", what))
}

func ambiguous(all []*site) error {
	var names []string
	for _, s := range all {
		names = append(names, fmt.Sprintf("%d/%d (%s)", s.pid(), s.fd(), s.name()))
	}
	return &exit{exitUsage, fmt.Errorf("which one? There are %s", strings.Join(names, ", "))}
}
