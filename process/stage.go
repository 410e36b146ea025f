package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/shmkit/shmkit/internal/sys"
)

// The variables that make this program a child: in its first stage, and proper.
const (
	stageVar = "SHMKIT_STAGE" // settings
	entryVar = "SHMKIT_ENTRY" // pid, a line end, settings
)

// Exit codes of a child that did not reach its function.
const (
	exitStage   = 126 // the first stage failed
	exitUnknown = 127 // the entry is not registered
)

// oomRaise is by how many thousandths of the machine's memory a child looks larger to
// the kernel when that must choose whom to kill.
const oomRaise = 300

// adopted is what a child proper was told; nil in a process that is no child.
var adopted *settings

// Package initialisation is the earliest moment at which Go code can run. It runs on
// the main thread, which sys.Exec asks for.
func init() {
	if text, ok := os.LookupEnv(stageVar); ok {
		fail(exitStage, runStage(text))
	}
	if text, ok := os.LookupEnv(entryVar); ok {
		if err := adopt(text); err != nil {
			fail(exitStage, err)
		}
	}
}

// runStage turns the first stage into the child proper; it returns if that failed.
func runStage(text string) error {
	s, err := parseSettings(text)
	if err != nil {
		return err
	}
	for _, step := range stageSteps {
		if err := step(s); err != nil {
			return err
		}
	}
	env := environment(os.Environ(), nil)
	env = append(env, entryVar+"="+strconv.Itoa(os.Getpid())+"\n"+text)
	return sys.Exec(sys.SelfExe, os.Args, env)
}

// stageSteps are in an order that lets each work: limits come last, they may forbid
// what the others do.
var stageSteps = []func(*settings) error{
	func(s *settings) error { return sys.CloseRange(uint(firstFile + s.files)) },
	func(*settings) error {
		_ = sys.RaiseOOMScore(oomRaise) // a preference: where /proc is read-only it goes unsaid
		return nil
	},
	func(s *settings) error {
		for _, l := range s.limits {
			if err := sys.SetLimit(l.Resource, l.Cur, l.Max); err != nil {
				return err
			}
		}
		return nil
	},
}

// adopt makes this process the child that the variable describes. It comes before
// the initialisers of the program's packages, which may start processes: neither the
// variable nor a descriptor must reach those.
func adopt(text string) error {
	if err := os.Unsetenv(entryVar); err != nil {
		return err
	}
	pid, text, _ := strings.Cut(text, "\n")
	if pid != strconv.Itoa(os.Getpid()) {
		return nil // another process's variable, passed on by a program that it started
	}
	s, err := parseSettings(text)
	if err != nil {
		return err
	}
	for fd := lifelineFile; fd < firstFile+s.files; fd++ {
		if err := sys.SetCloexec(fd); err != nil {
			return err
		}
	}
	for _, l := range s.limits {
		if !sys.IsNoFile(l.Resource) {
			continue
		}
		// The Go runtime has just raised it to the maximum.
		if err := sys.SetLimit(l.Resource, l.Cur, l.Max); err != nil {
			return err
		}
	}
	catchSignals()
	adopted = s
	return nil
}

// fail ends a child that cannot reach its function. The parent's Wait reports err,
// system errors as such.
func fail(code int, err error) {
	// Pairs with (*Process).reason. The pipe is empty and large enough to take it all.
	_ = sys.Write(statusFile, fmt.Appendf(nil, "%d %v", sys.ErrnoOf(err), err))
	os.Exit(code)
}
