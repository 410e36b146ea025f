//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/pool"
)

// patience bounds every wait for an event.
const patience = time.Minute

// guarded are tests that must leave nothing behind.
type guarded struct{ m *testing.M }

func (g guarded) Run() int { return leak.Run(g.m.Run, "github.com/shmkit/shmkit/process.spawnLoop") }

func TestMain(m *testing.M) {
	pool.Main()
	os.Setenv("GORACE", "atexit_sleep_ms=0") // workers built with the detector end a second late otherwise
	testscript.Main(guarded{m}, map[string]func(){
		"shmctl":  func() { os.Exit(run()) },
		"subject": subject,
	})
}

var scripts atomic.Int64

// TestScripts runs shmctl as a person does, on pools of other processes. $NAME is a name that nobody else has.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("NAME", fmt.Sprintf("%s%d", leak.NamePrefix(), scripts.Add(1)))
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": awaitFile, "until": until, "status": status0, "golden": golden, "profile": profile0},
		Condition: func(cond string) (bool, error) {
			if cond == "namespaces" {
				return hasNamespaces(), nil
			}
			return false, fmt.Errorf("no condition %q", cond)
		},
	})
}

// awaitFile waits for a file: await FILE.
func awaitFile(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, "file "+args[0], func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
}

// until runs a command again and again until it succeeds, or fails for !: until COMMAND...
func until(ts *testscript.TestScript, neg bool, args []string) {
	eventually(ts, fmt.Sprint(args), func() bool { return (ts.Exec(args[0], args[1:]...) == nil) != neg })
}

// status0 runs a command and looks at how it ends: status N COMMAND...
func status0(ts *testscript.TestScript, _ bool, args []string) {
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code, is := err.(interface{ ExitCode() int })
		if !is {
			ts.Fatalf("%v: %v", args[1:], err)
		}
		got = code.ExitCode()
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("%v ended with %d, not %s", args[1:], got, args[0])
	}
}

func eventually(ts *testscript.TestScript, what string, is func() bool) {
	end := time.NewTimer(patience)
	defer end.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-end.C:
			ts.Fatalf("%s: not within %v", what, patience)
		case <-again.C:
		}
	}
}
