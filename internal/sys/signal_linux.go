//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// SIGTERM asks a process to end.
var SIGTERM os.Signal = unix.SIGTERM

// SIGXCPU says that a process has used up its CPU time.
var SIGXCPU os.Signal = unix.SIGXCPU

// Signal returns the signal of that number, or nil for 0.
func Signal(n int) os.Signal {
	if n == 0 {
		return nil
	}
	return syscall.Signal(n)
}

// SendSignal sends s to the process behind pidfd and to no other, whoever has its
// pid by now. It fails with [os.ErrProcessDone] after the process was reaped.
func SendSignal(pidfd uintptr, s os.Signal) error {
	n, ok := s.(syscall.Signal)
	if !ok {
		return fmt.Errorf("signal %v is not one of this system: %w", s, os.ErrInvalid)
	}
	err := unix.PidfdSendSignal(int(pidfd), n, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
