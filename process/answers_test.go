//go:build linux && (amd64 || arm64)

package process_test

import (
	"os"
	"strings"
	"syscall"

	"github.com/shmkit/shmkit/process"
)

// answers are what the children of the tests can be asked.
var answers = map[string]func() any{
	"ping":      func() any { return "pong" },
	"env":       func() any { return os.Environ() },
	"args":      func() any { return os.Args },
	"fds":       func() any { return descriptors() },
	"cloexec":   func() any { return withoutCloexec() },
	"dir":       func() any { return value(os.Getwd()) },
	"open":      func() any { return openLimit() },
	"oom":       func() any { return readFile("/proc/self/oom_score_adj") },
	"threads":   func() any { return schedules() },
	"inherited": inherited,
	"print":     func() any { os.Stdout.WriteString("to stdout"); os.Stderr.WriteString("to stderr"); return nil },
	"terminate": onTerminate,
	"ready":     func() any { return process.Ready() },
	"nested":    nested,
}

func value[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func readFile(name string) string {
	return strings.TrimSpace(string(value(os.ReadFile(name))))
}

// descriptors says what each open descriptor refers to.
func descriptors() map[string]string {
	found := map[string]string{}
	for _, entry := range value(os.ReadDir("/proc/self/fd")) {
		// The one that reads the directory is gone by now.
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			found[entry.Name()] = target
		}
	}
	return found
}

// withoutCloexec lists the descriptors that a program started here would inherit.
func withoutCloexec() []string {
	found := []string{}
	for fd := range descriptors() {
		info := readFile("/proc/self/fdinfo/" + fd)
		for line := range strings.Lines(info) {
			if flags, ok := strings.CutPrefix(line, "flags:\t"); ok && len(flags) < len("02000000\n") {
				found = append(found, fd)
			}
		}
	}
	return found
}

func openLimit() syscall.Rlimit {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		panic(err)
	}
	return l
}
