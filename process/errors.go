package process

import (
	"fmt"
	"os"
)

// An ExitError says how a child ended that did not end well.
type ExitError struct {
	Name   string    // as in Options, or the entry's
	Pid    int       // free for other processes by now
	Code   int       // the exit code, or -1 if it did not exit by itself
	Signal os.Signal // what ended it, or nil
	Err    error     // why it never reached its function, or why its end is not known; or nil
}

func (e *ExitError) Error() string {
	who := fmt.Sprintf("process %q (pid %d)", e.Name, e.Pid)
	switch {
	case e.Err != nil:
		return fmt.Sprintf("%s: %v", who, e.Err)
	case e.Signal != nil:
		return fmt.Sprintf("%s was ended by a signal: %v", who, e.Signal)
	}
	return fmt.Sprintf("%s exited with code %d", who, e.Code)
}

// Unwrap returns e.Err.
func (e *ExitError) Unwrap() error { return e.Err }
