package process

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/shmkit/shmkit/internal/codec"
	"github.com/shmkit/shmkit/internal/objects"
	"github.com/shmkit/shmkit/internal/sys"
)

// A Function is a function that children can run, with an argument of type A: see [Func].
type Function[A any] struct {
	entry *Entry
	plan  *codec.Plan[A]
	fn    func(context.Context, A) error
}

// Func registers fn under a name, so that parent and child mean the same. It is called for a package-level variable, and panics if
// the name is empty or taken, after [Main], and if values of type A would not arrive as they were sent: then it names the field.
//
// A is any type, mostly a struct. Its values are copied: what the child changes in them is its own. Fields of a type that is
// [Shared], also those of structs within it, are the same object in both, and may be nil. In arrays, slices, maps and behind other pointers
// such objects are refused.
//
// The child runs fn on its main goroutine. The context ends when the child gets SIGTERM, as by [Process.Terminate], and has ended
// already if that came before. When fn returns nil the child exits with code 0; if it returns an error, with code 1, and
// [Process.Wait] says what the error said. A panic ends the child as it ends any program: with code 2, and the traceback on its
// standard error.
func Func[A any](name string, fn func(context.Context, A) error) *Function[A] {
	plan, err := codec.For[A](nil, objects.Refers)
	if err != nil {
		panic(fmt.Sprintf("process: Func %q: argument: %v", name, err))
	}
	f := &Function[A]{plan: plan, fn: fn}
	var run func([]*os.File)
	if fn != nil {
		run = f.run
	}
	f.entry = NewEntry(name, run)
	f.entry.reports = true
	return f
}

// Start starts a child that runs the function with arg. It returns as soon as the child exists: what goes
// wrong in the child, limits that cannot be set or a niceness that is not permitted included, is reported by
// [Process.Wait]. On systems that cannot run children the error wraps [errors.ErrUnsupported].
//
// The child runs until its function returns, it is killed or the parent ends. It needs no Wait to be cleaned up after.
func (f *Function[A]) Start(o Options, arg A) (*Process, error) {
	p, err := f.start(o, &arg)
	if err != nil {
		return nil, fmt.Errorf("start process %q: %w", f.entry.name, err)
	}
	return p, nil
}

func (f *Function[A]) start(o Options, arg *A) (*Process, error) {
	var list objects.List
	enc, err := f.plan.Prepare(arg, &list)
	if err != nil {
		return nil, fmt.Errorf("encode argument: %w", err)
	}
	shipment, err := list.Ship()
	if err != nil {
		return nil, fmt.Errorf("share what the argument refers to: %w", err)
	}
	l := objects.Letter{Arg: make([]byte, enc.Size()), Table: shipment.Table, Files: len(shipment.Files)}
	enc.CopyTo(l.Arg)
	file, err := l.Write()
	if err == nil {
		defer file.Close()
		var p *Process
		if p, err = f.entry.start(o, slices.Concat([]*os.File{file}, shipment.Files), shipment.Ended); err == nil {
			return p, nil
		}
	}
	shipment.Ended()
	return nil, err
}

// run is the child.
func (f *Function[A]) run(files []*os.File) {
	arg, err := f.receive(files)
	if err != nil {
		fail(exitUnknown, fmt.Errorf("receive argument: %w", err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	OnTerminate(cancel)
	if terminated.Load() { // before that; pairs with the store in catchSignals
		cancel()
	}
	if err := f.fn(ctx, arg); err != nil {
		report(err)
		os.Exit(1)
	}
}

// receive takes the argument out of the first of files, and what it refers to out of those behind it. The rest is the function's.
func (f *Function[A]) receive(files []*os.File) (arg A, err error) {
	l, err := objects.ReadLetter(files[0])
	files[0].Close()
	if err != nil {
		return arg, err
	}
	arrivals, err := objects.Receive(l.Table, files[1:1+l.Files])
	if err != nil {
		return arg, err
	}
	defer arrivals.Close()
	passed = files[1+l.Files:]
	return arg, f.plan.Decode(l.Arg, &arg, false, arrivals)
}

// passed are the files for the function that this child runs.
var passed []*os.File

// Files returns, in a child that runs a [Function], what its parent passed to it in Options.Files. In other processes there are none.
func Files() []*os.File { return passed }

// report leaves word of an error for [Process.Wait].
func report(err error) {
	const most = 4000 // of what Process.reason reads at once
	text := err.Error()
	_ = sys.Write(statusFile, fmt.Appendf(nil, "%d %s", failedItself, text[:min(len(text), most)]))
}
