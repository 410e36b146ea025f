//go:build linux && (amd64 || arm64)

package explore_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	module  = "github.com/shmkit/shmkit/"
	own     = `"` + module + `internal/explore"`
	root    = "../.."
	timeout = 5 * time.Minute // of a build or a run: only one that fails comes near it
)

// keepEnv names a folder in which the programs are left, to run them again with a schedule or a seed.
const keepEnv = "SHMKIT_EXPLORE_KEEP"

// explored are the packages that have scenarios.
var explored = []string{"ring", "semaphore", "shm", "pool"}

// A change replaces a part of a shipped file. It must occur there: a file that has changed tells that this list has to.
type change struct {
	file, old, new string
	everywhere     bool // it may occur several times
}

// shims are what an exploration needs otherwise than it is shipped, beside the import of sync/atomic.
var shims = []change{
	// Locks of which an exploration has several takers in one process.
	{"semaphore/waitqueue.go", `"sync"`, `"` + module + `internal/explore/sync"`, false},
	{"semaphore/vigil.go", `"sync"`, `"` + module + `internal/explore/sync"`, false},
	{"semaphore/turns.go", `"sync"`, `"` + module + `internal/explore/sync"`, false},
	{"semaphore/sleepers.go", `"sync"`, `"` + module + `internal/explore/sync"`, false},
	{"semaphore/group.go", `"sync"`, `"` + module + `internal/explore/sync"`, false},
	{"semaphore/cond.go", `"sync"`, `"` + module + `internal/explore/sync"`, false},
	{"pool/pool.go", `"sync"`, `"` + module + `internal/explore/sync"`, false},

	// A clock that says the same each time.
	{"semaphore/lock.go", "time.Now()", "explore.Now()", true},
	{"semaphore/lock.go", "time.Since(", "explore.Since(", true},
	{"semaphore/lock.go", "import (", "import (\n\t" + own, false},
	{"semaphore/turns.go", "time.Now()", "explore.Now()", true},
	{"semaphore/turns.go", "time.Since(", "explore.Since(", true},
	{"semaphore/turns.go", "import (", "import (\n\t" + own, false},
	{"pool/batch.go", "time.Now()", "explore.Now()", true},
	{"pool/idle.go", "time.Now()", "explore.Now()", true},
	{"pool/pace.go", "time.Now()", "explore.Now()", true},
	{"pool/supervise.go", "time.Now()", "explore.Now()", true},
	{"pool/supervise.go", "time.Since(", "explore.Since(", true},

	// Goroutines of one process that wait for each other; and who does a context's part, and a group's, is a process of the scenario's.
	{"semaphore/waitqueue.go", "import (", "import (\n\t" + own, false},
	{"semaphore/waitqueue.go", "select {\n\t\tcase <-w.turn:\n\t\tcase <-ctx.Done():",
		"explore.Until(func() bool { return ctx.Err() != nil || explore.Closed(w.turn) })\n\t\tswitch {\n\t\tcase ctx.Err() == nil:\n\t\tdefault:", false},
	{"semaphore/waitqueue.go", "context.AfterFunc(ctx, func() { q.leave(w) })", "func() bool { return true }", false},
	{"semaphore/sleepers.go", "import (", "import (\n\t" + own, false},
	{"semaphore/sleepers.go", "return <-m.awake", "explore.Until(func() bool { return len(m.awake) > 0 })\n\treturn <-m.awake", false},
	{"semaphore/sleepers.go", "go g.run()", "_ = g.run", false},

	// As often as it looks otherwise it comes to nothing new.
	{"ring/pipe_wait.go", "const quickLooks = 64", "const quickLooks = 1", false},
	{"semaphore/event.go", "const eventLooks = 64", "const eventLooks = 1", false},

	// What a scenario does itself: what comes later, signals, the end of a process.
	{"pool/doom.go", "time.AfterFunc(", "explore.Later(", true},
	{"pool/doom.go", "_ = m.proc.Signal(sys.SIGTERM)", "_ = sys.SIGTERM", false},
	{"pool/doom.go", "os.Exit(code)", "explore.Exit()", false},
	{"pool/obituary.go", "\te := &WorkerDiedError{Pid", "\tif crash == nil {\n\t\treturn &WorkerDiedError{}\n\t}\n\te := &WorkerDiedError{Pid", false},
	{"pool/patience.go", "\tproc, limit := w.proc, w.limit", "\tproc, limit := w.proc, w.limit\n\tif explore.On() {\n\t\texplore.Later(limit, f)\n\t\treturn\n\t}", false},
	{"pool/kill.go", "\tp.watchers.Wait()", "\tif explore.On() {\n\t\treturn\n\t}\n\tp.watchers.Wait()", false},

	// A crash is no Goexit of the task's.
	{"pool/serve.go", "if !w.busy {", "if !w.busy || explore.Dying() {", false},

	{"pool/batch.go", "import (", "import (\n\t" + own, false},
	{"pool/idle.go", "import (", "import (\n\t" + own, false},
	{"pool/pace.go", "import ", "import " + own + "\nimport ", false},
	{"pool/supervise.go", "import (", "import (\n\t" + own, false},
	{"pool/patience.go", "import (", "import (\n\t" + own, false},
	{"pool/doom.go", `"os"`, own, false},
	{"pool/kill.go", "import (", "import (\n\t" + own, false},
	{"pool/serve.go", "import (", "import (\n\t" + own, false},
}

// isScenario reports whether a file of that name has scenarios.
func isScenario(name string) bool {
	return strings.HasPrefix(name, "explore_") && strings.HasSuffix(name, "_test.go")
}

// replaced are whole files, and by what; "" is by nothing.
var replaced = map[string]string{
	"internal/sys/fence_linux.go":       "sys/fence.go",
	"internal/sys/futex_linux.go":       "sys/futex.go",
	"internal/sys/futexbits_linux.go":   "",
	"internal/sys/futexset_linux.go":    "",
	"internal/sys/pause_asm.go":         "sys/pause.go",
	"internal/sys/pause_linux_amd64.s":  "",
	"internal/sys/pause_linux_arm64.s":  "",
	"internal/sys/store_linux_amd64.go": "",
	"internal/sys/words_asm.go":         "sys/words.go",
	"internal/sys/words_linux_amd64.s":  "",
	"internal/sys/words_linux_arm64.s":  "",
	"internal/backoff/backoff.go":       "backoff/backoff.go",
}

// build builds the scenarios of a package, with more changes in the shipped files, and returns the program.
func build(t *testing.T, pkg string, more ...change) string {
	dir := t.TempDir()
	program := filepath.Join(dir, "explore.test")
	if keep := os.Getenv(keepEnv); keep != "" {
		program = filepath.Join(keep, pkg+"-"+path.Base(t.Name())+".test")
	}
	run(t, "go", "test", "-c", "-tags=explore", "-overlay="+overlay(t, dir, more), "-ldflags=-s -w", "-o="+program, module+pkg)
	return program
}

// run runs a command that is to succeed.
func run(t *testing.T, name string, args ...string) {
	out, err := output(t, name, args...)
	require.NoError(t, err, "%s %v:\n%s", name, args, out)
}

func output(t *testing.T, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	// For the go command's own machine: what is explored does not depend on the processor, and tests may run on an emulated one.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOOS=", "GOARCH=", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// overlay writes the changed files into dir, and what go build is to know of them.
func overlay(t *testing.T, dir string, more []change) string {
	changes := append(append([]change(nil), shims...), more...)
	replace := map[string]string{}
	for _, name := range sources(t) {
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		changed := strings.Replace(string(text), `"sync/atomic"`, `"`+module+`internal/explore/atomic"`, 1)
		for _, c := range changes {
			if c.file == name {
				changed = c.apply(t, changed)
			}
		}
		if changed != string(text) {
			file := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
			require.NoError(t, os.WriteFile(file, []byte(changed), 0o600))
			replace[absolute(t, root, name)] = file
		}
	}
	for name, by := range replaced {
		require.FileExists(t, filepath.Join(root, name))
		if by != "" {
			by = absolute(t, "testdata", by)
		}
		replace[absolute(t, root, name)] = by
	}
	for _, name := range otherTests(t) {
		replace[absolute(t, root, name)] = ""
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return file
}

func (c change) apply(t *testing.T, text string) string {
	n := strings.Count(text, c.old)
	require.Positive(t, n, "%s does not have %q any more: change what is replaced", c.file, c.old)
	if c.everywhere {
		return strings.ReplaceAll(text, c.old, c.new)
	}
	if !strings.HasPrefix(c.old, "import") {
		require.Equal(t, 1, n, "%s has %q several times: say more of it", c.file, c.old)
	}
	return strings.Replace(text, c.old, c.new, 1)
}

func absolute(t *testing.T, elem ...string) string {
	p, err := filepath.Abs(filepath.Join(elem...))
	require.NoError(t, err)
	return p
}

// sources returns all files that a program of scenarios is built of, from the module's root.
func sources(t *testing.T) (names []string) {
	for _, dir := range append([]string{"internal/codec", "internal/layout", "internal/owner", "internal/sys", "internal/telemetry", "process"}, explored...) {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files, dir)
		for _, f := range files {
			if base := filepath.Base(f); !strings.HasSuffix(base, "_test.go") || isScenario(base) {
				names = append(names, path.Join(dir, base))
			}
		}
	}
	return names
}

// otherTests returns the test files of explored packages that are no scenarios: they are for other atomics.
func otherTests(t *testing.T) (names []string) {
	for _, dir := range explored {
		files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
		require.NoError(t, err)
		for _, f := range files {
			if base := filepath.Base(f); !isScenario(base) {
				names = append(names, path.Join(dir, base))
			}
		}
	}
	return names
}
