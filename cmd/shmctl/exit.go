package main

import "errors"

// How shmctl ends. These numbers do not change.
const (
	exitWrong  = 1 // something is wrong with what was looked at, or nothing matches
	exitUsage  = 2 // the arguments make no sense
	exitEnded  = 3 // the pool ended while it was watched
	exitFailed = 4 // shmctl could not do what it was to do
)

const exitHelp = `Exit status:
  0  all is well
  1  something is wrong with what was looked at, or nothing matches
  2  the arguments make no sense
  3  the pool ended while it was watched
  4  shmctl could not do it: no permission, no memory, another version`

// An exit is an error that says how shmctl ends.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

func wrong(err error) error { return &exit{exitWrong, err} }

// codeOf returns how shmctl ends with that error: those without a code of their own are cobra's, about arguments.
func codeOf(err error) int {
	if e := (*exit)(nil); errors.As(err, &e) {
		return e.code
	}
	return exitUsage
}
