package process

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/shmkit/shmkit/internal/sys"
)

var errNotReady = errors.New("process.Main has not run in this program: " +
	"call it (or pool.Main) first thing in main, before flags are parsed or anything is started")

// Start starts a child that runs e. It returns as soon as the child exists: what goes
// wrong in the child, limits that cannot be set or a niceness that is not permitted included, is reported by
// [Process.Wait]. On systems that cannot run children the error wraps
// [errors.ErrUnsupported].
//
// The child runs until its function returns, it is killed or the parent ends. It
// needs no Wait to be cleaned up after.
func (e *Entry) Start(o Options) (*Process, error) {
	p, err := e.start(o, nil, func() {})
	if err != nil {
		return nil, fmt.Errorf("start process %q: %w", e.name, err)
	}
	return p, nil
}

// start passes files before those of the options. ended is called when the child has ended.
func (e *Entry) start(o Options, files []*os.File, ended func()) (*Process, error) {
	if !Ready() {
		return nil, errNotReady
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Files = slices.Concat(files, o.Files)
	life, err := lifeline.acquire()
	if err != nil {
		return nil, err
	}
	p, err := e.launch(o, life)
	if err != nil {
		lifeline.release()
		return nil, err
	}
	go p.watch(func() {
		lifeline.release()
		ended()
	})
	return p, nil
}

func (e *Entry) launch(o Options, life *os.File) (*Process, error) {
	stdin := o.Stdin
	if stdin == nil {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		stdin = null
	}
	status, report, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer report.Close()

	s := settings{
		entry: e.name, name: cmp.Or(o.Name, e.name), files: len(o.Files),
		limits: o.Limits, nice: o.Nice, cpus: o.CPUs, strays: strays(), detached: o.Detached,
	}
	parent, err := parentOf(o.Detached, report)
	if err != nil {
		_ = status.Close()
		return nil, err
	}
	r := spawn(sys.Command{
		Path: sys.SelfExe,
		Args: []string{s.name},
		Env:  append(environment(os.Environ(), o.Env), stageVar+"="+owned(parent, s.encode())),
		Dir:  o.Dir,

		Detached: o.Detached,
	}, append([]*os.File{
		0: stdin, 1: cmp.Or(o.Stdout, os.Stdout), 2: cmp.Or(o.Stderr, os.Stderr),
		lifelineFile: life, statusFile: report,
	}, o.Files...))
	if r.err != nil {
		_ = status.Close()
		return nil, r.err
	}
	return &Process{name: s.name, pid: r.pid, pidfd: r.pidfd, status: status, done: make(chan struct{})}, nil
}

// inheritable are the descriptors that this process had when it first started a child and that
// programs which it executes inherit. There is nothing to list where /proc is missing.
var inheritable = sync.OnceValue(func() []int {
	fds, _ := sys.Inheritable(lifelineFile)
	return fds
})

// strays returns those of them that a child inherits now. It closes them itself; if there are others,
// opened since, it finds them out, which costs it more.
func strays() []int {
	var still []int
	for _, fd := range inheritable() {
		if sys.IsInheritable(fd) {
			still = append(still, fd)
		}
	}
	return still
}
