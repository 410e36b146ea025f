//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/semaphore"
)

func init() { leaveDescriptors = limitDescriptors }

func limitDescriptors(free int) error {
	r, w, err := os.Pipe() // the netpoller takes the descriptors that it keeps
	if err := errors.Join(err, r.Close(), w.Close()); err != nil {
		return err
	}
	limit := uint64(0)
	for ; ; limit++ {
		if _, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", limit)); err == nil {
			continue
		}
		if free--; free < 0 {
			break
		}
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		return err
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: was.Max})
}

// Who cannot ask whether the holder lives, for want of descriptors, waits on, and gets the lock when it is free. The holder has the lock until the
// other has given up, however long that takes.
func TestMutexWithFewDescriptors(t *testing.T) {
	for free := range 3 {
		t.Run(fmt.Sprint(free), func(t *testing.T) {
			st, l := newLocks(t)
			require.NoError(t, l.Lock(watched(t)))
			p := st.puppet(t)
			p.tell("poor %d", free)
			p.expect("poor")
			p.tell("lock-in-vain")
			p.expect("lock-in-vain")
			assert.Equal(t, l.ID(), l.Word().Load()&^semaphore.Claimed)
			p.tell("lock")
			l.Unlock()
			p.expect("lock")
			p.tell("unlock")
			p.expect("unlock")
		})
	}
}
