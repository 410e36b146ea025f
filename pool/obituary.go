package pool

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/shmkit/shmkit/process"
)

// death is what a worker's death is to the task that it ran.
func (e *entry) death(died *WorkerDiedError, blocks int) *WorkerDiedError {
	own := died.during(e.def.name, blocks)
	if fate := e.fate(); fate != nil {
		own.cause = fate
	}
	return own
}

// during returns a copy for one task: failed futures share no error.
func (e *WorkerDiedError) during(fn string, blocks int) *WorkerDiedError {
	own := *e
	own.Func, own.Blocks = fn, blocks
	return &own
}

// crashBytes bounds the traceback that is kept of a worker.
const crashBytes = 1 << 20

// obituary says how a worker ended, and closes its crash file.
func obituary(proc *process.Process, crash *os.File) *WorkerDiedError {
	e := &WorkerDiedError{Pid: proc.Pid(), ExitCode: proc.ExitCode()}
	var exit *process.ExitError
	if errors.As(proc.Wait(context.Background()), &exit) {
		e.ExitCode, e.cause = exit.Code, exit.Err
		if exit.Signal != nil {
			e.Signal = exit.Signal.String()
		}
	}
	e.Traceback = lastWords(crash)
	crash.Close()
	return e
}

// lastWords returns what a worker has written to its crash file. Its writes have moved the offset, which
// they share with this process.
func lastWords(crash *os.File) string {
	n, err := crash.Seek(0, io.SeekCurrent)
	if err != nil {
		return ""
	}
	text := make([]byte, min(max(n, 0), crashBytes))
	k, _ := crash.ReadAt(text, 0) // what could not be read is missing
	return strings.Trim(string(text[:k]), "\x00\n")
}
