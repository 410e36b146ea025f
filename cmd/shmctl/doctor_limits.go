package main

import (
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"strconv"
	"strings"

	"github.com/shmkit/shmkit/internal/sys"
)

// What this user, this control group and this machine have.

func (m machine) text(name string) string {
	text, err := fs.ReadFile(m.root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// value returns the first word behind key at the start of a line, or "".
func (m machine) value(name, key string) string {
	for line := range strings.Lines(m.text(name)) {
		if rest, is := strings.CutPrefix(line, key); is {
			if words := strings.Fields(rest); len(words) > 0 {
				return words[0]
			}
		}
	}
	return ""
}

func (m machine) number(name, key string) (n int64, ok bool) {
	n, err := strconv.ParseInt(m.value(name, key), 10, 64)
	return n, err == nil
}

// limit returns the hard limit of that name, or a very large number if there is none.
func (m machine) limit(name string) int64 {
	for line := range strings.Lines(m.text("proc/self/limits")) {
		if rest, is := strings.CutPrefix(line, name); is {
			if words := strings.Fields(rest); len(words) > 1 {
				if n, err := strconv.ParseInt(words[1], 10, 64); err == nil {
					return n
				}
			}
		}
	}
	return math.MaxInt64
}

func limitOf(n int64) string {
	if n == math.MaxInt64 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

func (m machine) openFiles() finding {
	n := m.limit("Max open files")
	f := finding{"open files", fine, limitOf(n), "the parent of a pool takes three for each worker", ""}
	if n < 1024 {
		f.State, f.Advice = warning, "raise the hard limit: ulimit -Hn 65536, or LimitNOFILE= of the service"
	}
	return f
}

func (m machine) processes() finding {
	n := m.limit("Max processes")
	f := finding{"processes", fine, limitOf(n), "all threads of this user count: about ten for each worker", ""}
	if n < 1024 {
		f.State, f.Advice = warning, "raise it: ulimit -u 16384, or LimitNPROC= of the service"
	}
	return f
}

func (m machine) lockedMemory() finding {
	n := m.limit("Max locked memory")
	found := "unlimited"
	if n != math.MaxInt64 {
		found = bytesOf(n)
	}
	return finding{"locked memory", fine, found, "shmkit locks none; programs that do (io_uring, RDMA) share this", ""}
}

// tightest returns the least number in the files of that name of this control group and those above it, and where it stands.
func (m machine) tightest(controller, name string) (least int64, at string) {
	least = math.MaxInt64
	for _, file := range sys.GroupFiles(m.root, controller, name) {
		if n, err := strconv.ParseInt(strings.TrimSpace(file.Text), 10, 64); err == nil && n < least {
			least, at = n, "/"+file.Path
		}
	}
	return least, at
}

func (m machine) groupPids() finding {
	f := finding{"pids.max", fine, "unlimited", "threads that the control group may have", ""}
	most, at := m.tightest("pids", "pids.max")
	if at == "" {
		return f
	}
	f.Found = limitOf(most)
	if used, err := strconv.ParseInt(m.text(strings.TrimPrefix(strings.Replace(at, "pids.max", "pids.current", 1), "/")), 10, 64); err == nil {
		f.Found = fmt.Sprintf("%d of %d", used, most)
		if most-used < max(most/10, 64) {
			f.State, f.Advice = warning, fmt.Sprintf("workers and threads will soon fail to start: raise %s", at)
		}
	}
	return f
}

func (m machine) cpus() finding {
	usable, there := sys.CPUs(), runtime.NumCPU()
	f := finding{"CPUs", fine, strconv.Itoa(usable), "the default number of workers", ""}
	if usable < there {
		f.Found = fmt.Sprintf("%d of %d", usable, there)
		f.Meaning = "the control group's quota grants no more: programs that do not know are throttled"
		f.Advice = "set GOMAXPROCS and Workers by the quota, or raise cpu.max"
	}
	return f
}

func (m machine) memory() finding {
	total, free := sys.MemoryTotal(), sys.MemoryFree(math.MaxInt64)
	f := finding{"memory", fine, fmt.Sprintf("%s free of %s", bytesOf(free), bytesOf(total)), "of this control group, or the machine; a pool may use half of all by default", ""}
	if free < total/20 {
		f.State, f.Advice = warning, "calls wait, or fail with ErrNoMemory: look at stat for who has it, lower Options.Memory, or add memory"
	}
	return f
}

func (m machine) sharedFolder() finding {
	size, free, err := sys.RoomIn("/dev/shm")
	f := finding{"/dev/shm", fine, "", "named segments live there, pools do not", ""}
	switch {
	case err != nil:
		f.State, f.Found, f.Advice = warning, err.Error(), "mount a tmpfs there: named segments cannot be made"
	case size == 0:
		f.Found = "no limit"
	default:
		f.Found = fmt.Sprintf("%s free of %s", bytesOf(free), bytesOf(size))
		if free < size/10 || free < 16<<20 {
			f.State, f.Advice = warning, "see what is there with ls, remove what nobody has with gc, or enlarge it (docker run --shm-size)"
		}
	}
	return f
}

func (m machine) hugePages() finding {
	f := finding{"reserved huge pages", fine, "none", "Options.HugePages: ReservedHugePages fails; other pools do not care", ""}
	all, _ := m.number("proc/meminfo", "HugePages_Total:")
	if all > 0 {
		free, _ := m.number("proc/meminfo", "HugePages_Free:")
		f.Found = fmt.Sprintf("%d free of %d", free, all)
		f.Meaning = "a pool with Options.HugePages: ReservedHugePages takes them from there"
	}
	return f
}
