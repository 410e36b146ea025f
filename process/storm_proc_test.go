//go:build linux && (amd64 || arm64)

package process_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// storm interrupts every thread of this process, again and again until the test ends. It returns how often it has.
func storm(t *testing.T) *atomic.Int64 {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	rounds, stop, stopped := new(atomic.Int64), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				strike(t)
				rounds.Add(1)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		signal.Stop(signals)
	})
	return rounds
}

func strike(t *testing.T) {
	threads, err := os.ReadDir("/proc/self/task")
	if !assert.NoError(t, err) {
		return
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		assert.NoError(t, err)
		if err := unix.Tgkill(os.Getpid(), tid, unix.SIGUSR1); !errors.Is(err, unix.ESRCH) { // it has ended since
			assert.NoError(t, err)
		}
	}
}

// Children start, are waited for and end while every system call is interrupted.
func TestWaitInAStorm(t *testing.T) {
	rounds := storm(t)
	for range 5 {
		small := newPebble(t)
		p := obeys(t, process.Options{}, brief{How: "wait", Small: small})
		killAtEnd(t, p)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, p.Wait(ctx), context.DeadlineExceeded)
		done := make(chan error, 1)
		go func() { done <- p.Wait(watchdog(t)) }()
		from := rounds.Load()
		require.Eventually(t, func() bool { return rounds.Load() > from+20 }, patience, time.Millisecond)
		require.Empty(t, done)
		require.NoError(t, p.Kill())
		var exit *process.ExitError
		require.ErrorAs(t, <-done, &exit)
		assert.Equal(t, syscall.SIGKILL, exit.Signal)
	}
}

// A hundred children that share something are told to end a millisecond after they were started, however far they have come: none of them
// is left, and no descriptor, mapping or goroutine of theirs; and everybody learns that they are gone.
func TestHundredLeaveNothing(t *testing.T) {
	warm := obeys(t, process.Options{}, brief{}) // what the package keeps is there from now on
	require.NoError(t, warm.Wait(watchdog(t)))
	leak.Check(t)
	goroutines := runtime.NumGoroutine()
	const n = 100
	var all sync.WaitGroup
	for range n {
		a, b, err := ring.NewPipe(ring.PipeOptions{})
		require.NoError(t, err)
		p, err := echo.Start(process.Options{Stderr: quiet(t)}, call{End: b})
		require.NoError(t, err)
		all.Go(func() {
			timer := time.NewTimer(time.Millisecond)
			<-timer.C
			_ = p.Terminate() // it may have ended
			assert.Error(t, p.Wait(watchdog(t)), "it was ended")
			_, err := a.Recv(watchdog(t))
			assert.Equal(t, io.EOF, err)
			assert.NoError(t, a.Close())
			assert.ErrorIs(t, b.Send(context.Background(), nil), os.ErrClosed)
		})
	}
	all.Wait()
	_, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	assert.Equal(t, syscall.ECHILD, err, "no child is left, dead or alive")
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+1 }, patience, time.Millisecond, "this look has one itself")
}
