package process

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/sys"
)

// Main must be the first thing that main does, and in tests the first thing that TestMain
// does. In a child it runs the child's entry and never returns; in every other process it
// returns at once, and children may be started from then on.
func Main() {
	closeRegistry()
	if adopted == nil {
		return
	}
	e := lookup(adopted.entry)
	if e == nil {
		err := fmt.Errorf("entry %q is not registered in this process: "+
			"it must be a package-level variable, made in child and parent alike", adopted.entry)
		fmt.Fprintln(os.Stderr, "process:", err)
		fail(exitUnknown, err)
	}
	_ = sys.SetComm(adopted.name) // only for people
	if !e.reports {
		_ = sys.Close(statusFile)
	}
	if adopted.detached {
		_ = sys.Close(lifelineFile)
	} else {
		go followParent()
	}
	e.run(passedFiles(adopted.files))
	os.Exit(0)
}

func passedFiles(n int) []*os.File {
	files := make([]*os.File, n)
	for i := range files {
		files[i] = os.NewFile(uintptr(firstFile+i), "passed file "+strconv.Itoa(i))
	}
	return files
}

// followParent ends this process when the parent has ended: the lifeline is never
// written to, and no other process can, so the only event is its end. The pipe is
// in non-blocking mode, so the goroutine is parked in the netpoller.
func followParent() {
	_, _ = os.NewFile(lifelineFile, "lifeline").Read(make([]byte, 1))
	os.Exit(1)
}

var onTerminate atomic.Pointer[func()]

// terminated says that a SIGTERM has come, whether somebody was there to be told or not.
var terminated atomic.Bool

// OnTerminate makes a child call f, on a goroutine of the package, for each SIGTERM
// that it gets; one that comes while f runs is kept, further ones are dropped. Without
// it children drop SIGTERM: a service manager sends it to every process of a
// service, and the parent decides when its children end. nil takes it back.
func OnTerminate(f func()) {
	if f == nil {
		onTerminate.Store(nil)
		return
	}
	onTerminate.Store(&f)
}

// catchSignals drops SIGINT and hands SIGTERM to OnTerminate's function. They are
// caught, not ignored: what is ignored stays so in programs that the child starts.
func catchSignals() {
	// Nobody receives from this channel: Notify does not block, it drops.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)

	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, sys.SIGTERM)
	go func() {
		for range terminate {
			terminated.Store(true) // before the load; pairs with the load in Function.run
			if f := onTerminate.Load(); f != nil {
				(*f)()
			}
		}
	}()
}

// mindCPUTime ends this process when it has used up the CPU time that its parent grants. The Go
// runtime drops the signal that says so, and the kernel's SIGKILL, at the limit's maximum, gives no reason.
func (s *settings) mindCPUTime() {
	for _, l := range slices.Backward(s.limits) { // the last one is in force
		if !sys.IsCPUTime(l.Resource) {
			continue
		}
		usedUp := make(chan os.Signal, 1)
		signal.Notify(usedUp, sys.SIGXCPU)
		go func() {
			<-usedUp
			panic(fmt.Sprintf("process: the CPU time of this child is used up: RLIMIT_CPU is %d s", l.Cur))
		}()
		return
	}
}
