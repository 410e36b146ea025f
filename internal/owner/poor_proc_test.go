//go:build linux && (amd64 || arm64)

package owner

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// poorEnv makes the test binary a process without descriptors, which is to know that of the process with this pid.
const poorEnv = "OWNER_TEST_POOR"

func init() { programs[poorEnv] = knowWithFewDescriptors }

// knowWithFewDescriptors has room for no descriptor, then for one more each time, until that is enough to watch a process, which lives. It panics if
// that one is said to have ended, or if what has failed once fails for ever.
func knowWithFewDescriptors(decimal string) {
	pid := must(strconv.Atoi(decimal))
	id := must(Of(pid))
	must(0, must(id.Open()).Close()) // the netpoller takes the descriptors that it keeps
	for free := 0; ; free++ {
		restore := leaveDescriptors(free)
		_, selfErr := Self()
		stop, watchErr := id.OnEnd(func() { panic(fmt.Sprintf("said to have ended, with room for %d", free)) })
		f, openErr := id.Open()
		alive := id.Alive()
		restore()
		stop()
		if free == 0 {
			mustBe(selfErr, syscall.EMFILE)
			must(Self())
		}
		if !alive {
			panic("it lives")
		}
		if openErr == nil && watchErr == nil {
			must(0, f.Close())
			return
		}
		if watchErr != nil {
			mustBe(watchErr, syscall.EMFILE)
		}
		if openErr != nil {
			mustBe(openErr, syscall.EMFILE)
		} else {
			must(0, f.Close())
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func mustBe(err, want error) {
	if !errors.Is(err, want) {
		panic(fmt.Sprintf("%v, and not %v", err, want))
	}
}

// leaveDescriptors leaves room for so many, until restore is called.
func leaveDescriptors(free int) (restore func()) {
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
	must(0, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	must(0, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: was.Max}))
	return func() { must(0, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)) }
}

// For want of a descriptor it cannot be known whether a process lives: that is an error, and neither an end nor for ever.
func TestFewDescriptors(t *testing.T) {
	w := startWaiter(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", poorEnv, w.Process.Pid), "GORACE=atexit_sleep_ms=0")
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
}
