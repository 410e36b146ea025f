// Package sys is the one place where shmkit talks to the operating system:
// futexes, memory files, processes and the machine's limits. Together with
// internal/layout it is also the only place that imports unsafe; a test in the
// root of the module asserts both.
//
// On systems other than Linux on amd64 or arm64 the package compiles, and every
// function that can fail returns an error that wraps [errors.ErrUnsupported].
package sys
