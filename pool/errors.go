package pool

import (
	"errors"
	"fmt"
	"strings"

	"github.com/shmkit/shmkit/shm"
)

var (
	// ErrClosed is the error of a call to a pool that was closed or terminated.
	ErrClosed = errors.New("pool is closed")

	// ErrCorrupted says that shared memory held what no honest worker can have
	// written. It is the error of the tasks that had been accepted by then and could not
	// be retried. All workers were ended, and the pool goes on with others in new memory; if
	// there is none for that, it is the error of all calls from then on.
	ErrCorrupted = errors.New("shared memory is corrupted")

	// ErrWorkerDied is what errors.Is finds in every [*WorkerDiedError].
	ErrWorkerDied = errors.New("worker died")

	// ErrTooLarge says that a value can never fit into Options.Memory.
	ErrTooLarge = shm.ErrTooLarge

	// ErrMain says that Main has not run in this process, without which a worker
	// would run the program a second time instead of serving.
	ErrMain = errors.New("pool.Main has not run: call pool.Main() first thing in main (in tests: in TestMain)")
)

// A WorkerDiedError is the result of a task whose worker ended while it ran it. The
// task may have done its work in part. No other task is affected.
type WorkerDiedError struct {
	Pid       int
	Func      string // the task's function; empty if the worker died while it started
	Signal    string // such as "killed"; empty if the worker exited
	ExitCode  int    // -1 if a signal ended it
	Traceback string // what the Go runtime wrote when it crashed, or why it could not begin; empty after SIGKILL or os.Exit
	Blocks    int    // blocks that were handed to the task: they are freed

	// Earlier are the deaths of the workers that ran the task before, if it had retries.
	Earlier []*WorkerDiedError

	cause error // why it did not reach its first task, if that is known
}

func (e *WorkerDiedError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "worker %d %s", e.Pid, e.manner())
	if e.Func != "" {
		fmt.Fprintf(&s, " while it ran %s", e.Func)
	}
	if len(e.Earlier) > 0 {
		fmt.Fprintf(&s, ", as %d did before", len(e.Earlier))
	}
	if e.Blocks > 0 {
		fmt.Fprintf(&s, "; blocks that it had been given, and that are freed: %d", e.Blocks)
	}
	if line := headline(e.Traceback); line != "" {
		fmt.Fprintf(&s, ": %s", line)
	}
	if e.cause != nil {
		fmt.Fprintf(&s, ": %v", e.cause)
	}
	return s.String()
}

// manner says how it ended.
func (e *WorkerDiedError) manner() string {
	if e.Signal != "" {
		return fmt.Sprintf("was ended by a signal (%s)", e.Signal)
	}
	return fmt.Sprintf("exited with status %d", e.ExitCode)
}

// kind is the error's text without what is different each time.
func (e *WorkerDiedError) kind() string {
	text := "worker " + e.manner()
	if line := headline(e.Traceback); line != "" {
		text += ": " + line
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// headline sums a traceback up in one line: by its first, unless that says nothing. The runtime writes the text of a fatal error
// of its own to standard error alone; where it was raised tells an exhausted memory, say, from a map without its lock.
func headline(traceback string) string {
	first, rest, _ := strings.Cut(traceback, "\n")
	if first != "runtime stack:" && !strings.HasPrefix(first, "goroutine ") {
		return first
	}
	thrown := false
	for line := range strings.Lines(rest) {
		fn := line[:max(strings.LastIndexByte(line, '('), 0)]
		switch {
		case fn == "" || line[0] == '\t': // where the call stands
		case thrown:
			return "fatal error in " + fn
		case strings.HasSuffix(fn, "runtime.throw") || strings.HasSuffix(fn, ".fatal"):
			thrown = true
		}
	}
	return first
}

// Unwrap returns why the worker did not start, if that is known.
func (e *WorkerDiedError) Unwrap() error { return e.cause }

// Is makes errors.Is(err, ErrWorkerDied) true.
func (e *WorkerDiedError) Is(target error) bool { return target == ErrWorkerDied }

// A TaskError is an error that a task returned, or a panic in it, as it arrived from
// the worker: plain data. errors.Is finds those registered errors that it contained.
type TaskError struct {
	Func     string
	Message  string // the error's text, or the panic's value
	Panicked bool
	Stack    string // of the panic; empty for an error

	sentinels []error
}

func (e *TaskError) Error() string {
	if e.Panicked {
		return fmt.Sprintf("%s: panic: %s", e.Func, e.Message)
	}
	return fmt.Sprintf("%s: %s", e.Func, e.Message)
}

// Unwrap returns the registered errors that the remote error wrapped.
func (e *TaskError) Unwrap() []error { return e.sentinels }
