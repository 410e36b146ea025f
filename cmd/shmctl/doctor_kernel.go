package main

import (
	"fmt"
	"strings"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// What the kernel can and allows.

func (m machine) kernel() finding {
	f := finding{Check: "kernel", State: fine, Found: m.text("proc/sys/kernel/osrelease"), Meaning: "shmkit needs Linux 5.10"}
	major, minor := 0, 0
	if _, err := fmt.Sscanf(f.Found, "%d.%d", &major, &minor); err == nil && (major < 5 || major == 5 && minor < 10) {
		f.State, f.Advice = broken, "use a newer kernel"
	}
	return f
}

// probe is a finding about something that works or does not.
func probe(check string, err error, meaning string, without state, advice string) finding {
	if err != nil {
		return finding{check, without, err.Error(), meaning, advice}
	}
	return finding{check, fine, "works", meaning, ""}
}

const filterAdvice = "if the kernel is new enough, a seccomp filter forbids it: allow it in the container's profile"

func (m machine) memoryFiles() finding {
	seg, err := shm.New("doctor", 4096)
	if err == nil {
		err = seg.Close()
	}
	return probe("memfd", err, "all memory of pools comes from there", broken, filterAdvice)
}

func (m machine) pidfds() finding {
	self, err := owner.Self()
	if err == nil {
		pidfd, e := self.Open()
		if err = e; err == nil {
			err = pidfd.Close()
		}
	}
	return probe("pidfd", err, "by these the end of a worker is seen", broken, filterAdvice)
}

func (m machine) futexWaitv() finding {
	return probe("futex_waitv", sys.CheckFutexWaitv(), "one thread sleeps on many words (Linux 5.16); without it, one thread for each", warning, filterAdvice)
}

func (m machine) membarrier() finding {
	return probe("membarrier", sys.CheckFenceAll(), "whoever goes to sleep fences for all; without it, some wake up 1 ms late", warning, filterAdvice)
}

func (m machine) seccomp() finding {
	f := finding{Check: "seccomp", State: fine, Meaning: "no filter: all system calls are allowed"}
	switch f.Found = m.value("proc/self/status", "Seccomp:"); f.Found {
	case "0":
		f.Found = "off"
	case "2":
		f.Found, f.Meaning = "filter", "some system calls may be forbidden: what shmkit needs was tried above"
	case "1":
		f.Found, f.State, f.Meaning, f.Advice = "strict", broken, "nearly all system calls are forbidden", "run it elsewhere"
	default:
		f.Found, f.Meaning = "none", "the kernel has no filters"
	}
	return f
}

func (m machine) ptraceScope() finding {
	f := finding{Check: "ptrace scope", State: fine, Found: m.text("proc/sys/kernel/yama/ptrace_scope"), Meaning: "debuggers may attach to workers; shmctl has no need of it"}
	switch f.Found {
	case "0":
	case "":
		f.Found = "none"
	default:
		f.Meaning = "a debugger must start what it debugs, or be root's; shmctl has no need of it"
	}
	return f
}

// transparentPages are those that TransparentHugePages asks for.
func (m machine) transparentPages() finding {
	f := finding{Check: "transparent huge pages", State: fine, Meaning: "Options.HugePages: TransparentHugePages works"}
	text := m.text("sys/kernel/mm/transparent_hugepage/shmem_enabled")
	_, setting, _ := strings.Cut(text, "[")
	setting, _, _ = strings.Cut(setting, "]")
	f.Found = "shmem: " + setting
	if setting == "" {
		f.Found = "none"
	}
	if setting == "" || setting == "never" || setting == "deny" {
		f.Meaning = "Options.HugePages: TransparentHugePages fails; other pools do not care"
		f.Advice = "if large blocks are slow: echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"
	}
	return f
}
