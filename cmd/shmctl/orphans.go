package main

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/shmkit/shmkit/internal/inspect"
	"github.com/shmkit/shmkit/shm"
)

// semaphores are not segments: sem_open keeps them in the same folder, and between two programs nobody needs to have them.
const semaphores = "sem."

const shmFolder = "/dev/shm/"

// namedUsers finds who has files in /dev/shm, by descriptor or by mapping.
func namedUsers() (*inspect.Census, error) {
	census, err := inspect.Look()
	if err == nil {
		census.LookAtMappings()
	}
	return census, err
}

// inUse says who has the segment, or "" if nobody is known to.
func inUse(s shm.Info, census *inspect.Census) string {
	if users := census.UsersOf(shmFolder + s.Name); len(users) > 0 {
		return usersOf(users)
	}
	if s.Held {
		return "a process that cannot be seen from here"
	}
	return ""
}

// removal is what became of a segment.
type removal struct {
	Name    string `json:"name"`
	Size    int64  `json:"size_bytes"`
	Removed bool   `json:"removed"`
	Why     string `json:"why,omitempty"` // it was not
}

type removals struct {
	Segments []removal `json:"segments"`
	DryRun   bool      `json:"dry_run,omitempty"`
}

func (r removals) tables(bool) []table {
	t := table{header: []string{"SEGMENT", "SIZE", "WHAT"}}
	for _, s := range r.Segments {
		what, m := "kept: "+s.Why, doubtful
		if s.Removed {
			what, m = "removed", plain
			if r.DryRun {
				what = "would be removed"
			}
		}
		t.addMarked(m, s.Name, bytesOf(s.Size), what)
	}
	return []table{t}
}

// sum says how much was removed.
func (r removals) sum() (n int, size int64) {
	for _, s := range r.Segments {
		if s.Removed {
			n, size = n+1, size+s.Size
		}
	}
	return n, size
}

// removeOrphan removes a segment of which nobody is known to have it.
func removeOrphan(s shm.Info, census *inspect.Census, dry bool) removal {
	r := removal{Name: s.Name, Size: s.Size}
	if who := inUse(s, census); who != "" {
		r.Why = "in use by " + who
		return r
	}
	if !dry {
		if err := shm.RemoveOrphan(s.Name); err != nil {
			r.Why = reasonOf(err)
			return r
		}
	}
	r.Removed = true
	return r
}

func reasonOf(err error) string {
	if errors.Is(err, shm.ErrHeld) {
		return "in use since a moment ago"
	}
	return err.Error()
}

// noteBlind says whom this says nothing about.
func (sh *shell) noteBlind(census *inspect.Census) {
	const most = 3
	for i, b := range census.Blind {
		if i == most {
			sh.note("nor can %d more processes: see ls -o wide", len(census.Blind)-most)
			return
		}
		sh.note("process %v cannot be looked into: %v", b.Process, b.Err)
	}
}

// matches reports whether the name is one of those asked for, which may have * and ?; all are if none is asked for.
func matches(patterns []string, name string) (bool, error) {
	for _, p := range patterns {
		is, err := path.Match(p, name)
		if err != nil {
			return false, fmt.Errorf("pattern %q: %w", p, err)
		}
		if is {
			return true, nil
		}
	}
	return len(patterns) == 0 && !strings.HasPrefix(name, semaphores), nil
}
