package leak

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long what ends by itself may take to do so, on a busy machine.
var patience = 5 * time.Second

// interval is the time between two looks at what is still there.
const interval = 10 * time.Millisecond

// Main runs the tests and ends the process: with the tests' own exit code, or with 1
// if they passed but left something behind. Each lasting is the full name of a
// function ("example.com/pkg.serve") whose goroutines are meant to live as long
// as the process.
//
// A failed run is not looked at: a test that stopped half-way leaves things behind,
// and naming them would bury its own message.
func Main(m *testing.M, lasting ...string) {
	os.Exit(Run(m.Run, lasting...))
}

// Run is Main for whoever has something to do after it: it returns the exit code.
func Run(tests func() int, lasting ...string) int { return run(tests, os.Stderr, lasting) }

func run(tests func() int, out io.Writer, lasting []string) int {
	before, err := look()
	if err != nil {
		fmt.Fprintln(out, "leak:", err)
		return 1
	}
	if code := tests(); code != 0 {
		return code
	}
	left := await(func() []string {
		return append(before.added(), goroutines(lasting)...)
	})
	if len(left) == 0 {
		return 0
	}
	fmt.Fprintf(out, "leak: the tests passed, but %v later these are still there:\n\t%s\n",
		patience, strings.Join(left, "\n\t"))
	return 1
}

// Check makes t fail if descriptors, child processes, mappings or files that were
// not there at the call are there when t ends, after the cleanups that t registers
// later. It looks at the whole process, so it is of no use beside t.Parallel.
func Check(t testing.TB) {
	t.Helper()
	before, err := look()
	if err != nil {
		t.Errorf("leak: %v", err)
		return
	}
	t.Cleanup(func() {
		t.Helper()
		for _, l := range await(before.added) {
			t.Errorf("leak: still there %v after the test: %s", patience, l)
		}
	})
}

// await asks for what is left until nothing is or patience ends, and returns the
// last answer. What it waits for happens in the kernel or in goroutines unknown, and
// nothing announces it: this is why it asks again and again.
func await(find func() []string) []string {
	end := time.NewTimer(patience)
	defer end.Stop()
	again := time.NewTicker(interval)
	defer again.Stop()
	for {
		left := find()
		if len(left) == 0 {
			return nil
		}
		select {
		case <-end.C:
			return left
		case <-again.C:
		}
	}
}

func goroutines(lasting []string) []string {
	ignore := make([]goleak.Option, len(lasting))
	for i, name := range lasting {
		ignore[i] = goleak.IgnoreAnyFunction(name)
	}
	if err := goleak.Find(ignore...); err != nil {
		return []string{err.Error()}
	}
	return nil
}
