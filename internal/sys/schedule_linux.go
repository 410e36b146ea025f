//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// CheckCPUs returns an error, which names it, for the first of cpus that this machine does not have.
func CheckCPUs(cpus []int) error { return checkCPUs(os.DirFS("/"), cpus) }

// SetNice sets the niceness of the calling THREAD: Linux keeps one for each. Threads that it starts
// inherit it, and so does a program that it executes.
func SetNice(nice int) error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, nice); err != nil {
		return fmt.Errorf("set niceness to %d: %w", nice, err)
	}
	return nil
}

// SetCPUs sets on which CPUs the calling THREAD may run; it is inherited as the niceness is. It
// fails unless the thread may run on all of them: the kernel leaves out, without a word, what
// the control group does not grant.
func SetCPUs(cpus []int) error {
	var want, got unix.CPUSet
	for _, cpu := range cpus {
		want.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &want); err != nil {
		return fmt.Errorf("run on CPUs %v: %w", cpus, err)
	}
	if err := unix.SchedGetaffinity(0, &got); err != nil {
		return fmt.Errorf("run on CPUs %v: %w", cpus, err)
	}
	for _, cpu := range cpus {
		if !got.IsSet(cpu) {
			return fmt.Errorf("run on CPUs %v: CPU %d is not granted to this process: %w", cpus, cpu, unix.EINVAL)
		}
	}
	return nil
}
