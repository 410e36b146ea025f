package inspect

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Process is one that may have shared memory.
type Process struct {
	Pid     int
	Inner   int // what it calls itself: another number than Pid if it has a pid namespace of its own
	Parent  int
	Command string // the first 15 bytes of its program's name, or what it has put there
}

// Foreign reports whether the process has a pid namespace of its own: the pids that it knows mean others here.
func (p Process) Foreign() bool { return p.Inner != p.Pid }

func (p Process) String() string { return fmt.Sprintf("%d (%s)", p.Pid, p.Command) }

// processAt reads what proc, a folder as /proc is, says of a process, and whose it is. The error wraps fs.ErrNotExist if it has ended.
func processAt(proc string, pid int) (p Process, user int, err error) {
	text, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status"))
	if err != nil {
		return p, 0, err
	}
	p, user = Process{Pid: pid, Inner: pid}, -1
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(line), ":")
		words := strings.Fields(value)
		if len(words) == 0 {
			continue
		}
		switch key {
		case "Name":
			p.Command = strings.Join(words, " ")
		case "State":
			if strings.ContainsAny(words[0], "ZX") { // it has ended, and was not reaped
				return p, 0, fs.ErrNotExist
			}
		case "PPid":
			p.Parent = atoi(words[0])
		case "Uid": // real, effective, saved, of the file system
			user = atoi(words[min(1, len(words)-1)])
		case "NSpid": // from the namespace of whoever looks to its own
			p.Inner = atoi(words[len(words)-1])
		}
	}
	return p, user, nil
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// pids returns the processes that proc lists.
func pids(proc string) (all []int, err error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 {
			all = append(all, pid)
		}
	}
	return all, nil
}
