package owner

import (
	"fmt"
	"os"

	"github.com/shmkit/shmkit/internal/sys"
)

// Watch returns nil when the process behind pidfd has ended, with all its threads,
// reaped or not. The calling goroutine is parked in the netpoller meanwhile and
// occupies no thread. Closing pidfd, like a system that does not poll it, ends the
// wait with an error.
func Watch(pidfd *os.File) error {
	conn, err := pidfd.SyscallConn()
	if err == nil {
		// Read looks once before it parks and again after every event, so an end
		// before the call is not missed.
		err = conn.Read(sys.Exited)
	}
	if err != nil {
		return fmt.Errorf("watch process: %w", err)
	}
	return nil
}
