package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/shmkit/shmkit/internal/sys"
)

// A Use is a process that has some memory.
type Use struct {
	Process
	FD int // its descriptor, or -1 if it has mapped the memory and has none
}

// Memory is what one or more processes have open.
type Memory struct {
	Name     string // of a memory file what follows "shmkit:", of a file in /dev/shm its name
	Dev, Ino uint64 // no other file has both as long as this one exists
	Size     int64  // bytes
	Uses     []Use  // at least one
}

// A Blind spot is a process that could not be looked into.
type Blind struct {
	Process
	Err error
}

// A Census is what was found.
type Census struct {
	Anonymous []Memory // memory files of shmkit's, by name and then as old as they are
	Named     []Memory // files in /dev/shm, of any program's, by the names that they were made under
	Blind     []Blind

	proc string
	seen []Process
}

// Look looks at the descriptors of all processes of this user, and of all users if that is root, but for this process's own.
func Look() (*Census, error) { return look("/proc", os.Geteuid(), os.Getpid()) }

func look(proc string, user, self int) (*Census, error) {
	all, err := pids(proc)
	if err != nil {
		return nil, err
	}
	c := &Census{proc: proc}
	for _, pid := range all {
		if pid == self {
			continue
		}
		p, whose, err := processAt(proc, pid)
		if err != nil || user != 0 && whose != user { // it has ended, or is none of ours
			continue
		}
		c.seen = append(c.seen, p)
		if err := c.descriptors(p); err != nil && c.lives(pid) {
			c.Blind = append(c.Blind, Blind{p, explain(err)})
		}
	}
	for _, found := range [][]Memory{c.Anonymous, c.Named} {
		slices.SortStableFunc(found, func(a, b Memory) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Ino, b.Ino)) })
	}
	return c, nil
}

func (c *Census) lives(pid int) bool {
	_, _, err := processAt(c.proc, pid)
	return err == nil
}

// explain says why the kernel keeps a process's descriptors from its own user.
func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return errors.New("not permitted: it is not dumpable, has more privileges, or is in another user namespace")
	}
	return err
}

const (
	ourPrefix   = "/memfd:shmkit:"
	namedPrefix = "/dev/shm/"
	deleted     = " (deleted)"
)

// descriptors adds what p has open.
func (c *Census) descriptors(p Process) error {
	dir := filepath.Join(c.proc, strconv.Itoa(p.Pid), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrPermission) { // root that may not trace may list them all the same
			return err
		}
		if err != nil {
			continue // closed meanwhile
		}
		target = strings.TrimSuffix(target, deleted)
		if name, is := strings.CutPrefix(target, ourPrefix); is {
			c.Anonymous = add(c.Anonymous, name, filepath.Join(dir, e.Name()), Use{p, fd})
		} else if name, is := strings.CutPrefix(target, namedPrefix); is {
			c.Named = add(c.Named, name, filepath.Join(dir, e.Name()), Use{p, fd})
		}
	}
	return nil
}

// add adds a use of the file that path leads to.
func add(to []Memory, name, path string, u Use) []Memory {
	m, err := fileAt(path)
	if err != nil { // closed meanwhile
		return to
	}
	m.Name = name
	i := slices.IndexFunc(to, func(other Memory) bool { return other.Dev == m.Dev && other.Ino == m.Ino })
	if i < 0 {
		i, to = len(to), append(to, m)
	}
	if !to[i].has(u.Pid) { // one descriptor of each process will do
		to[i].Uses = append(to[i].Uses, u)
	}
	return to
}

func (m *Memory) has(pid int) bool {
	return slices.ContainsFunc(m.Uses, func(u Use) bool { return u.Pid == pid })
}

// fileAt says which file path leads to, without opening it.
func fileAt(path string) (m Memory, err error) {
	f, err := sys.OpenPath(path)
	if err != nil {
		return m, err
	}
	defer f.Close()
	st, err := sys.StatusOfFile(f)
	if err != nil {
		return m, err
	}
	m.Size = st.Size
	m.Dev, m.Ino, err = sys.FileID(f)
	return m, err
}

// Open opens the memory for reading, by way of any process that has it. The error says why the last of them would not do.
func (m *Memory) Open() (f *os.File, err error) { return m.open(sys.OpenQuick) }

// OpenWritable is [Memory.Open] for reading and writing.
func (m *Memory) OpenWritable() (*os.File, error) { return m.open(sys.OpenQuickWritable) }

func (m *Memory) open(by func(path string) (*os.File, error)) (f *os.File, err error) {
	err = fmt.Errorf("nobody has it: %w", os.ErrNotExist)
	for _, u := range m.Uses {
		if f, err = m.openOf(u, by); err == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("open memory %q: %w", m.Name, err)
}

// StillHas reports whether the process has the memory now, by the same descriptor.
func (m *Memory) StillHas(u Use) bool {
	now, err := fileAt(fmt.Sprintf("/proc/%d/fd/%d", u.Pid, u.FD))
	return err == nil && now.Dev == m.Dev && now.Ino == m.Ino
}

func (m *Memory) openOf(u Use, by func(path string) (*os.File, error)) (*os.File, error) {
	f, err := by(fmt.Sprintf("/proc/%d/fd/%d", u.Pid, u.FD))
	if err != nil {
		return nil, err
	}
	if dev, ino, err := sys.FileID(f); err != nil || dev != m.Dev || ino != m.Ino {
		f.Close()
		return nil, fmt.Errorf("descriptor %d of process %d: %w", u.FD, u.Pid, os.ErrClosed)
	}
	return f, nil
}
