//go:build linux && (amd64 || arm64)

package process_test

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
)

// earlyEnv has a child wait for SIGTERM while its packages are initialised, which is after it catches signals, and before its function
// has a context.
const earlyEnv = "PROCESS_TEST_EARLY"

var _ = func() bool {
	if os.Getenv(earlyEnv) == "" {
		return false
	}
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	defer signal.Stop(terminate)
	fmt.Println("here")
	<-terminate
	for range 100 { // the package's own goroutine has its turn
		runtime.Gosched()
	}
	return true
}()

// A child that is told to end before its function runs ends.
func TestTerminatedBeforeItsFunction(t *testing.T) {
	small := newPebble(t)
	r, w := pipe(t)
	p := obeys(t, process.Options{Env: []string{earlyEnv + "=1"}, Stdout: w}, brief{How: "wait", Small: small})
	killAtEnd(t, p)
	var word string
	_, err := fmt.Fscanln(r, &word)
	require.NoError(t, err)
	require.Equal(t, "here", word)
	require.NoError(t, p.Terminate())
	assert.ErrorContains(t, p.Wait(watchdog(t)), "context canceled", "it had a context, which had ended")
}
