//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	momentEnv = "POOL_TEST_MOMENT" // at which a parent kills itself
	dirEnv    = "POOL_TEST_DIR"    // in which its workers leave marks
)

// killSelf ends this process in the way that it cannot see coming, and says so before.
func killSelf() {
	fmt.Println("now")
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// until lets a program wait for what no channel tells. It is ended by its test if that never comes.
func until(is func() bool) {
	for !is() {
		runtime.Gosched()
	}
}

// occupy gives each worker a task and returns when all run.
func occupy[In any](p *Pool, f *Function[In, int], in func(i int) In) {
	for i := range p.opts.Workers {
		must(f.Go(context.Background(), p, in(i)))
	}
	until(func() bool { return slotsThatAre(p, running) == p.opts.Workers })
}

// A moment brings a pool to where its parent is to die.
type moment struct {
	opts  Options
	reach func(p *Pool, dir string)
}

var moments = map[string]moment{
	"workers sleep": {reach: func(p *Pool, _ string) { until(func() bool { return p.crowd.awake() == 0 }) }},
	"workers spin": {reach: func(p *Pool, _ string) {
		for i := range 2000 {
			must(square.Call(context.Background(), p, i))
		}
	}},
	"workers run endless loops": {reach: func(p *Pool, _ string) { occupy(p, spinForever, func(i int) int { return 0 }) }},
	"workers wait in the kernel": {reach: func(p *Pool, dir string) {
		path := filepath.Join(dir, "gate")
		must(0, syscall.Mkfifo(path, 0o600))
		occupy(p, pass, func(int) string { return path }) // open(2) does not return
	}},
	"workers ignore signals": {reach: func(p *Pool, dir string) {
		occupy(p, deaf, func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) })
	}},
	"workers are stopped": {reach: func(p *Pool, _ string) {
		for _, pid := range pids(p) {
			must(0, syscall.Kill(pid, syscall.SIGSTOP))
		}
	}},
	"workers are replaced": {reach: func(p *Pool, _ string) {
		for range 5 {
			_, _ = die.Call(context.Background(), p, "kill")
		}
	}},
	"replacements are in their initialiser": {opts: Options{Init: attend.With(os.Getenv(dirEnv))}, reach: func(p *Pool, dir string) {
		path := filepath.Join(dir, "gate")
		must(0, syscall.Mkfifo(path, 0o600))
		must(0, os.WriteFile(filepath.Join(dir, "what"), []byte(path), 0o600))
		for _, pid := range pids(p) {
			must(0, syscall.Kill(pid, syscall.SIGKILL))
		}
		until(func() bool { return len(must(os.ReadFile(filepath.Join(dir, "notes")))) == 2*8*p.opts.Workers })
	}},
	"workers retire": {opts: Options{MaxTasksPerWorker: 1}, reach: func(p *Pool, _ string) {
		for i := range 10 {
			must(square.Call(context.Background(), p, i))
		}
	}},
	"a large argument is written": {reach: func(p *Pool, _ string) {
		go count.Call(context.Background(), p, make([]byte, hundredMB))
		until(func() bool { return p.Memory().Count > 0 })
	}},
	"the pool closes": {reach: func(p *Pool, _ string) {
		occupy(p, spinForever, func(i int) int { return 0 })
		go p.Close()
		until(func() bool { return isClosing(p) })
	}},
	"workers have pools of their own": {reach: func(p *Pool, dir string) {
		go nest.Call(context.Background(), p, nesting{Depth: 2, Dir: dir, Stay: true})
		until(func() bool { _, err := os.Stat(filepath.Join(dir, "0")); return err == nil })
	}},
}

func init() {
	// A worker of the next: nothing else, even if it should outlive its parent, and take itself for a new one.
	programs["mortal worker"] = Main

	// A parent that kills itself at a moment, or so many microseconds after it has begun to make a pool.
	programs["mortal parent"] = func() {
		name, dir := os.Getenv(momentEnv), os.Getenv(dirEnv)
		Main()
		must(0, os.Setenv(asProgram, "mortal worker"))
		m, ok := moments[name]
		if !ok {
			var us int
			must(fmt.Sscan(name, &us))
			time.AfterFunc(time.Duration(us)*time.Microsecond, killSelf)
		}
		m.opts.Workers, m.opts.Name = 3, "mortal"
		p := must(New(m.opts))
		if ok {
			m.reach(p, dir)
			killSelf()
		}
		select {}
	}
}

// requireNoOrphans starts a parent that kills itself at that moment, and waits until nobody holds its standard output any
// more: it is also that of all its workers, and theirs, from the first instruction on.
func requireNoOrphans(t *testing.T, moment string) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"=mortal parent", momentEnv+"="+moment, dirEnv+"="+t.TempDir())
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	err = cmd.Start()
	w.Close()
	require.NoError(t, err)
	late := time.AfterFunc(watchdog, func() { cmd.Process.Kill() })
	err = cmd.Wait()
	require.True(t, late.Stop(), "it has not come to that moment")
	require.ErrorContains(t, err, "signal: killed")
	require.NoError(t, r.SetReadDeadline(time.Now().Add(watchdog)))
	said, err := io.ReadAll(r)
	require.NoError(t, err, "some worker is left")
	assert.Equal(t, "now", strings.TrimSpace(string(said)))
}

// A parent that is killed leaves no worker, whatever they do at that moment. Seen in loky's suite and in CPython's
// test_concurrent_futures and test_multiprocessing; at most of these moments in none.
func TestParentKilledAtAnyMoment(t *testing.T) {
	for name := range moments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireNoOrphans(t, name)
		})
	}
}

// Nor does one that is killed while it makes its pool, at any step. Seen in no suite.
func TestParentKilledInNew(t *testing.T) {
	const step, steps = 3 * time.Millisecond, 10
	for i := range steps {
		after := time.Duration(i) * step
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			t.Parallel()
			requireNoOrphans(t, fmt.Sprint(after.Microseconds()))
		})
	}
}
