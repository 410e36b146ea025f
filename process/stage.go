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
	stageVar = "SHMKIT_STAGE" // the parent's pid, a line end, settings
	entryVar = "SHMKIT_ENTRY" // the child's pid, a line end, settings
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
	var err error
	if text, ok := os.LookupEnv(stageVar); ok {
		err = runStage(text)
	} else if text, ok := os.LookupEnv(entryVar); ok {
		err = adopt(text)
	}
	if err != nil {
		fail(exitStage, err)
	}
}

// runStage turns the first stage into the child proper: mostly this process is fit to be that, and
// otherwise the program is executed again.
func runStage(text string) error {
	if err := os.Unsetenv(stageVar); err != nil {
		return err
	}
	text, ok := cutOwner(text, isMine)
	if !ok {
		return nil
	}
	s, err := parseSettings(text)
	if err != nil {
		return err
	}
	s.dropStrays()
	if s.confines() || !s.alone() {
		return execAgain(s, text)
	}
	preferOOM()
	return become(s)
}

// confines reports whether there is something to set that threads inherit: those that the Go runtime has
// started by now would go without it.
func (s *settings) confines() bool { return len(s.limits) > 0 || s.nice != 0 || len(s.cpus) > 0 }

// dropStrays closes the descriptors that the parent says are inherited.
func (s *settings) dropStrays() {
	for _, fd := range s.strays {
		if fd >= firstFile+s.files && sys.IsInheritable(fd) {
			_ = sys.Close(uintptr(fd)) // if that failed, it would still be found below
		}
	}
}

// alone reports whether there is nothing inherited but what was meant to be. What another
// initialiser has opened, as C code may, cannot be told from that.
func (s *settings) alone() bool {
	fds, err := sys.Inheritable(firstFile + s.files)
	return err == nil && len(fds) == 0
}

// execAgain does what must be done before a program starts, and executes this one again. It returns
// if that failed. Limits come last: they may forbid the rest.
func execAgain(s *settings, text string) error {
	if err := sys.CloseRange(uint(firstFile + s.files)); err != nil {
		return err
	}
	preferOOM()
	if err := s.schedule(); err != nil {
		return err
	}
	for _, l := range s.limits {
		if err := sys.SetLimit(l.Resource, l.Cur, l.Max); err != nil {
			return err
		}
	}
	env := environment(os.Environ(), nil)
	env = append(env, entryVar+"="+owned(strconv.Itoa(os.Getpid()), text))
	return sys.Exec(sys.SelfExe, os.Args, env)
}

// schedule sets what Linux keeps for each thread. It comes through exec because this is the thread that
// executes: the runtime holds package initialisation on the main one.
func (s *settings) schedule() error {
	if s.nice != 0 {
		if err := sys.SetNice(s.nice); err != nil {
			return err
		}
	}
	if len(s.cpus) > 0 {
		return sys.SetCPUs(s.cpus)
	}
	return nil
}

// preferOOM states a preference: where /proc is read-only it goes unsaid.
func preferOOM() { _ = sys.RaiseOOMScore(oomRaise) }

// adopt makes this process, executed again, the child that the variable describes.
func adopt(text string) error {
	if err := os.Unsetenv(entryVar); err != nil {
		return err
	}
	text, ok := cutOwner(text, isMe)
	if !ok {
		return nil
	}
	s, err := parseSettings(text)
	if err != nil {
		return err
	}
	return become(s)
}

// become makes this process the child proper. It comes before the initialisers of the program's
// packages, which may start processes: neither a variable nor a descriptor must reach those.
func become(s *settings) error {
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
	s.mindCPUTime()
	adopted = s
	return nil
}

// failedItself stands in place of an errno before what a child's own function has to say.
const failedItself = -1

// fail ends a child that cannot reach its function. The parent's Wait reports err,
// system errors as such.
func fail(code int, err error) {
	// Pairs with (*Process).reason. The pipe is empty and large enough to take it all.
	_ = sys.Write(statusFile, fmt.Appendf(nil, "%d %v", sys.ErrnoOf(err), err))
	os.Exit(code)
}

// owned puts who it is for before what is for its eyes, or its child's.
func owned(who string, text string) string { return who + "\n" + text }

// cutOwner takes it off. It reports whether it is this process; otherwise the variable was another process's, passed on
// by a program that had it in its environment.
func cutOwner(text string, is func(who string) bool) (rest string, ok bool) {
	who, rest, _ := strings.Cut(text, "\n")
	return rest, is(who)
}

// parentOf says whose a child is: its parent's, which cannot end without it. A detached child can lose its parent at any moment: it
// is known by the pipe that it gets, which no other program has in that place.
func parentOf(detached bool, report *os.File) (who string, err error) {
	if !detached {
		return strconv.Itoa(os.Getpid()), nil
	}
	_, ino, err := sys.FileID(report)
	return pipeMark + strconv.FormatUint(ino, 10), err
}

// pipeMark is before the number of a pipe.
const pipeMark = "pipe "

// isMine reports whether who, from the parent, means this process.
func isMine(who string) bool {
	if number, ok := strings.CutPrefix(who, pipeMark); ok {
		ino, err := sys.InodeOf(statusFile)
		return err == nil && number == strconv.FormatUint(ino, 10)
	}
	return who == strconv.Itoa(os.Getppid())
}

// isMe reports whether who, from this process's first stage, means it.
func isMe(who string) bool { return who == strconv.Itoa(os.Getpid()) }
