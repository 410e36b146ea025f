//go:build linux && (amd64 || arm64)

package process_test

import (
	"context"
	"os"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
)

// endings are the ways in which a child ends by itself, chosen by endingEnv.
const endingEnv = "PROCESS_TEST_ENDING"

var endings = map[string]func(){
	"return": func() {},
	"exit 0": func() { os.Exit(0) },
	"exit 3": func() { os.Exit(3) },
	"exit 255": func() {
		os.Exit(255)
	},
	"panic": func() { panic("as the test asked") },
	"panic in a goroutine": func() {
		go panic("as the test asked")
		select {}
	},
	"abort": func() {
		debug.SetTraceback("crash")
		panic("as the test asked")
	},
	// The Go runtime turns SIGSEGV into exit code 2; C code does not.
	"segv": func() {
		err := syscall.Exec("/bin/sh", []string{"sh", "-c", "kill -SEGV $$"}, nil)
		panic(err)
	},
	"kill": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} },
	"wait": func() { select {} },
}

var end = process.NewEntry("end", func([]*os.File) { endings[os.Getenv(endingEnv)]() })

func startEnding(t testing.TB, ending string) *process.Process {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // tracebacks
	require.NoError(t, err)
	defer null.Close()
	p, err := end.Start(process.Options{
		Env:    []string{endingEnv + "=" + ending},
		Stderr: null,
		Limits: []process.Limit{{Resource: syscall.RLIMIT_CORE}},
	})
	require.NoError(t, err)
	killAtEnd(t, p)
	return p
}

func TestExitIsSeenExactly(t *testing.T) {
	for ending, want := range map[string]struct {
		code   int
		signal os.Signal
	}{
		"exit 3":               {3, nil},
		"exit 255":             {255, nil},
		"panic":                {2, nil},
		"panic in a goroutine": {2, nil},
		"abort":                {-1, syscall.SIGABRT},
		"segv":                 {-1, syscall.SIGSEGV},
		"kill":                 {-1, syscall.SIGKILL},
	} {
		t.Run(ending, func(t *testing.T) {
			p := startEnding(t, ending)
			err := p.Wait(watchdog(t))
			var exit *process.ExitError
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, process.ExitError{Name: "end", Pid: p.Pid(), Code: want.code, Signal: want.signal}, *exit)
			assert.Equal(t, want.code, p.ExitCode())
			assert.Equal(t, err, p.Wait(context.Background()), "every Wait returns the same")
		})
	}
}

func TestExitOfSuccessIsNoError(t *testing.T) {
	for _, ending := range []string{"return", "exit 0"} {
		t.Run(ending, func(t *testing.T) {
			p := startEnding(t, ending)
			require.NoError(t, p.Wait(watchdog(t)))
			assert.Zero(t, p.ExitCode())
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	p := startEnding(t, "wait")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, p.Wait(ctx), context.Canceled)
	assert.Equal(t, -1, p.ExitCode())

	require.NoError(t, p.Kill())
	<-p.Done()
	var exit *process.ExitError
	require.ErrorAs(t, p.Wait(ctx), &exit, "an end that is known counts more than the context's")
	assert.Equal(t, syscall.SIGKILL, exit.Signal)
	assert.ErrorContains(t, exit, "was ended by a signal: killed")
}
