//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Access is what a process may do with memory.
type Access int

// What can be allowed.
const (
	AccessNone Access = unix.PROT_NONE
	AccessRead Access = unix.PROT_READ
	AccessAll  Access = unix.PROT_READ | unix.PROT_WRITE
)

// Protect allows this process no more than access to whole pages of a mapping: anything else faults.
func Protect(pages []byte, access Access) error {
	if err := unix.Mprotect(pages, int(access)); err != nil {
		return fmt.Errorf("protect %d bytes: %w", len(pages), err)
	}
	return nil
}
