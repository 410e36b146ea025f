//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A gate stops workers that come to it, by the function pass or by an attendant, until its test opens it.
type gate struct {
	path string
	open func()
}

// newGate returns a closed gate, which is open at the end of the test at the latest: before
// pools are closed that were started earlier.
func newGate(t testing.TB) gate {
	path := filepath.Join(t.TempDir(), "gate")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	var f *os.File
	open := sync.OnceFunc(func() {
		var err error
		f, err = os.OpenFile(path, os.O_RDWR, 0)
		assert.NoError(t, err)
	})
	t.Cleanup(func() { // not before: a worker may be slow to get there
		if open(); f != nil {
			f.Close()
		}
	})
	return gate{path, open}
}

// An attendant is an initialiser that does in each worker what stands in its file at that moment, and notes that it was there.
type attendant struct{ dir string }

func newAttendant(t *testing.T) attendant { return attendant{t.TempDir()} }

func (a attendant) notes() string { return filepath.Join(a.dir, "notes") }

// says tells the workers that start from now on what to do: "" is to start.
func (a attendant) says(t *testing.T, what string) {
	t.Helper()
	name := filepath.Join(a.dir, "new")
	require.NoError(t, os.WriteFile(name, []byte(what), 0o600))
	require.NoError(t, os.Rename(name, filepath.Join(a.dir, "what")))
}

// seen is how many workers have come by.
func (a attendant) seen(t *testing.T) int {
	t.Helper()
	notes, err := os.ReadFile(a.notes())
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	return len(notes) / 8
}

func (a attendant) init() Initialiser { return attend.With(a.dir) }

var errAttendant = RegisterError("pool_test.errAttendant", errors.New("not today"))

var attend = InitFunc("attend", func(ctx context.Context, dir string) error {
	if err := enter(dir, "notes", 0); err != nil {
		return err
	}
	what, err := os.ReadFile(filepath.Join(dir, "what"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	switch what := string(what); what {
	case "":
		return nil
	case "error":
		return errAttendant
	case "panic":
		panic(errAttendant)
	case "goexit":
		runtime.Goexit()
	case "exit":
		os.Exit(9)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	default: // a gate
		_, err := pass.fn(ctx, what)
		return err
	}
	return nil
})

// killWorkers kills all workers of a pool, and returns their pids.
func killWorkers(t *testing.T, p *Pool) []int {
	t.Helper()
	all := pids(p)
	for _, pid := range all {
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	return all
}

// isClosing reports whether a pool accepts no more tasks.
func isClosing(p *Pool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase != open
}
