package leak

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
)

// shmDir is where named shared memory lies.
const shmDir = "/dev/shm"

// NamePrefix is how tests begin the names of the files that they make in /dev/shm:
// the directory is everybody's, and the files of this process cannot be told from
// others' by anything else once they are closed.
func NamePrefix() string { return fmt.Sprintf("shmkit-test-%d-", os.Getpid()) }

// A state is what a process holds beside memory and goroutines: for each thing, what
// makes it that very thing, and what to tell people about it.
type state map[string]string

// add notes thing; what may change while it stays the same thing goes into detail.
func (s state) add(thing, detail string) { s[thing] = thing + detail }

// added returns what is there now and was not in s.
func (s state) added() []string {
	now, err := look()
	if err != nil {
		return []string{err.Error()}
	}
	maps.DeleteFunc(now, func(thing, _ string) bool {
		_, old := s[thing]
		return old
	})
	return slices.Sorted(maps.Values(now))
}

func look() (state, error) {
	s := state{}
	if runtime.GOOS != "linux" {
		return s, nil
	}
	for _, part := range []func(state) error{startNetpoller, descriptors, children, mappings, files} {
		if err := part(s); err != nil {
			return nil, fmt.Errorf("look for what is open: %w", err)
		}
	}
	return s, nil
}

// startNetpoller makes the runtime open the descriptors that it keeps from the
// first use of a pipe on, so that they are there before the tests.
func startNetpoller(state) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	return errors.Join(r.Close(), w.Close())
}

func descriptors(s state) error {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// The descriptor that read the directory is closed by now, and others may be.
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil {
			s.add("file descriptor "+e.Name()+": "+target, "")
		}
	}
	return nil
}

// children looks through all processes: a list of a process's own children is not
// compiled into every kernel.
func children(s state) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	self := fmt.Sprint(os.Getpid())
	for _, e := range entries {
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // no process, or one that has just ended
		}
		if p, ok := parseStat(string(stat)); ok && p.parent == self {
			s.add("child process "+e.Name()+" started at tick "+p.start, fmt.Sprintf(" (%s, state %s)", p.name, p.state))
		}
	}
	return nil
}

type process struct{ name, state, parent, start string }

// parseStat reads a line of /proc/PID/stat: the name stands in parentheses and may
// hold spaces and parentheses itself, hence the last one counts.
func parseStat(line string) (process, bool) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	const state, parent, start = 0, 1, 19 // fields 3, 4 and 22, counted behind the name
	fields := strings.Fields(line[end+1:])
	if len(fields) <= start {
		return process{}, false
	}
	return process{line[open+1 : end], fields[state], fields[parent], fields[start]}, true
}

// mappings adds the memory that processes share. Other files may stay mapped: the
// program itself and its libraries are.
func mappings(s state) error {
	data, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		const path = 5 // behind addresses, mode, offset, device, inode
		fields := strings.Fields(line)
		if len(fields) <= path {
			continue
		}
		if name := strings.Join(fields[path:], " "); strings.HasPrefix(name, "/memfd:shmkit:") ||
			strings.HasPrefix(name, shmDir+"/") {
			s.add("mapping "+name+" at "+fields[0], "")
		}
	}
	return nil
}

func files(s state) error {
	entries, err := os.ReadDir(shmDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // small containers have none
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), NamePrefix()) {
			s.add("file "+shmDir+"/"+e.Name(), "")
		}
	}
	return err
}
