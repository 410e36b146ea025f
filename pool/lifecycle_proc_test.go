//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
)

type settings struct {
	Greeting string
	Fail     string
}

var greeting string

var setup = InitFunc("setup", func(_ context.Context, s settings) error {
	greeting = s.Greeting
	switch s.Fail {
	case "":
		return nil
	case "exit":
		os.Exit(9)
	case "panic":
		panic("bad set-up")
	case "sentinel":
		return errOurs
	case "goexit":
		runtime.Goexit()
	}
	return errors.New(s.Fail)
})

var greet = Func("greet", func(_ context.Context, name string) (string, error) { return greeting + " " + name, nil })

func TestInit(t *testing.T) {
	p := start(t, Options{Workers: 2, Init: setup.With(settings{Greeting: "hello"})})
	for range 10 {
		s, err := greet.Call(t.Context(), p, "world")
		require.NoError(t, err)
		require.Equal(t, "hello world", s)
	}
	_, err := die.Call(t.Context(), p, "kill")
	require.ErrorIs(t, err, ErrWorkerDied)
	for range 10 {
		s, err := greet.Call(t.Context(), p, "again")
		require.NoError(t, err)
		require.Equal(t, "hello again", s, "a replacement is prepared too")
	}
}

// An initialiser that fails fails New, with its error. Seen in CPython's test_concurrent_futures and loky's suite.
func TestInitFails(t *testing.T) {
	for fail, want := range map[string]string{
		"no model":               "no model",
		strings.Repeat("e", 8e3): "eeeeeeee",
		"exit":                   "exited with status 9",
		"panic":                  "bad set-up",
		"sentinel":               "ours",
		"goexit":                 "initialiser called runtime.Goexit",
	} {
		p, err := New(Options{Workers: 2, Init: setup.With(settings{Fail: fail})})
		require.Nil(t, p)
		require.ErrorContains(t, err, want)
		require.Equal(t, fail == "sentinel", errors.Is(err, errOurs))
		require.Equal(t, fail == "exit", errors.Is(err, ErrWorkerDied))
	}
}

var made int

var local = Local(func() (int, error) {
	made++
	if made == 1 {
		return 0, errors.New("not yet")
	}
	return made, nil
})

var useLocal = Func("use local", func(context.Context, int) (int, error) { return local.Get() })

func TestLocal(t *testing.T) {
	p := start(t, Options{Workers: 1})
	_, err := useLocal.Call(t.Context(), p, 0)
	require.ErrorContains(t, err, "not yet", "a failure is not kept")
	for range 3 {
		v, err := useLocal.Call(t.Context(), p, 0)
		require.NoError(t, err)
		require.Equal(t, 2, v, "made once")
	}
	require.Zero(t, made, "and not in the parent")
}

type surroundings struct {
	Env, Dir, Name, Cmdline string
	Leaked                  []string
}

var look = Func("look", func(_ context.Context, key string) (surroundings, error) {
	dir, err := os.Getwd()
	if err != nil {
		return surroundings{}, err
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return surroundings{}, err
	}
	cmdline, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		return surroundings{}, err
	}
	fmt.Fprintln(os.Stderr, "seen")
	s := surroundings{Env: os.Getenv(key), Dir: dir, Name: string(comm), Cmdline: string(cmdline)}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "SHMKIT_") {
			s.Leaked = append(s.Leaked, v)
		}
	}
	return s, nil
})

func TestSurroundings(t *testing.T) {
	dir := t.TempDir()
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	require.NoError(t, err)
	defer stderr.Close()
	p := start(t, Options{Workers: 1, Name: "looker", Dir: dir, Stderr: stderr, Env: []string{"POOL_TEST_KEY=value"}})
	s, err := look.Call(t.Context(), p, "POOL_TEST_KEY")
	require.NoError(t, err)
	assert.Equal(t, "value", s.Env)
	assert.Equal(t, dir, s.Dir)
	assert.Contains(t, s.Cmdline, "looker: worker 0")
	assert.Contains(t, s.Name, "looker")
	assert.Empty(t, s.Leaked, "a worker's own children must not take themselves for workers")
	text, err := os.ReadFile(stderr.Name())
	require.NoError(t, err)
	assert.Equal(t, "seen\n", string(text))
}

// A closed pool refuses all. Seen in CPython's test_concurrent_futures, pond's suite and piscina's.
func TestClosed(t *testing.T) {
	p, err := New(Options{Workers: 1})
	require.NoError(t, err)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close(), "twice is fine")
	p.Terminate()
	_, err = square.Call(t.Context(), p, 1)
	require.ErrorIs(t, err, ErrClosed)
	_, err = square.Go(t.Context(), p, 1)
	require.ErrorIs(t, err, ErrClosed)
	_, err = count.Call(t.Context(), p, make([]byte, 1<<20))
	require.ErrorIs(t, err, ErrClosed)
	for _, err := range square.Map(t.Context(), p, numbers(3)) {
		require.ErrorIs(t, err, ErrClosed)
	}
	require.Empty(t, p.Workers())
}

// Close, also from several goroutines, waits for what was accepted. Seen in CPython's test_concurrent_futures and pond's suite.
func TestCloseFinishesWhatWasAccepted(t *testing.T) {
	p, err := New(Options{Workers: 2})
	require.NoError(t, err)
	var fs []*Future[int]
	for i := range 500 {
		f, err := square.Go(t.Context(), p, i)
		require.NoError(t, err)
		fs = append(fs, f)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { assert.NoError(t, p.Close()) })
	}
	wg.Wait()
	for i, f := range fs {
		y, err := f.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, i*i, y)
	}
	require.EqualValues(t, 500, p.Stats().Succeeded)
}

// Seen in pebble's suite and piscina's.
func TestCloseContext(t *testing.T) {
	p, err := New(Options{Workers: 1})
	require.NoError(t, err)
	f, err := block.Go(context.Background(), p, 1)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.CloseContext(ctx), context.DeadlineExceeded)
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, ErrClosed)
}

// Seen in CPython's test_multiprocessing.
func TestTerminate(t *testing.T) {
	p, err := New(Options{Workers: 2, Queue: 4})
	require.NoError(t, err)
	var fs []*Future[int]
	for i := range 4 {
		f, err := spinForever.Go(t.Context(), p, i)
		require.NoError(t, err)
		fs = append(fs, f)
	}
	full := make(chan error, 1)
	go func() {
		_, err := square.Call(context.Background(), p, 1)
		full <- err
	}()
	var wg sync.WaitGroup
	wg.Go(p.Terminate)
	wg.Go(p.Terminate)
	wg.Go(func() { assert.NoError(t, p.Close()) })
	wg.Wait()
	for _, f := range fs {
		_, err := f.Wait(t.Context())
		require.ErrorIs(t, err, ErrClosed)
	}
	require.ErrorIs(t, receive(t, full), ErrClosed)
}

// Submitting, cancelling and closing meet in every order.
// Seen in pond's suite and in CPython's test_concurrent_futures.
func TestSubmitRacesClose(t *testing.T) {
	for range 10 {
		p, err := New(Options{Workers: 2, Queue: 8})
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 1000 {
					ctx, cancel := context.WithCancel(context.Background())
					f, err := square.Go(ctx, p, i)
					if err != nil {
						assert.ErrorIs(t, err, ErrClosed)
						cancel()
						return
					}
					if i%2 == 0 {
						cancel()
					}
					y, err := f.Wait(context.Background())
					if err == nil {
						assert.Equal(t, i*i, y)
					} else {
						assert.ErrorIs(t, err, context.Canceled)
					}
					cancel()
				}
			})
		}
		require.NoError(t, p.Close())
		wg.Wait()
	}
}

// A pool whose workers cannot start any more says so instead of hanging.
// Seen in CPython's test_concurrent_futures.
func TestRespawnFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	require.NoError(t, os.Mkdir(dir, 0o700))
	p, err := New(Options{Workers: 2, Dir: dir})
	require.NoError(t, err)
	require.NoError(t, os.Remove(dir))
	for _, w := range p.Workers() {
		require.NoError(t, syscall.Kill(w.Pid, syscall.SIGKILL))
	}
	_, err = block.Call(t.Context(), p, 1)
	if !errors.Is(err, ErrWorkerDied) { // claimed before the signal arrived
		require.ErrorContains(t, err, "no worker starts")
	}
	_, err = block.Call(t.Context(), p, 1)
	require.ErrorContains(t, err, "no worker starts")
	require.ErrorContains(t, err, "no such file or directory")
	require.NoError(t, p.Close())
}

var nested = Func("nested", func(ctx context.Context, x int) (int, error) {
	p, err := New(Options{Workers: 1, Name: "nested"})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	return square.Call(ctx, p, x)
})

// Seen in loky's suite.
func TestNestedPool(t *testing.T) {
	p := start(t, Options{Workers: 2})
	y, err := nested.Call(t.Context(), p, 12)
	require.NoError(t, err)
	require.Equal(t, 144, y)
}

// The parent is killed while its workers compute, sleep and wait: none survives it.
// Seen in loky's suite and in CPython's test_concurrent_futures.
func TestParentKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"=doomed parent", "SHMKIT_TEST_DIR="+dir)
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	eventually(t, "the workers are up", func() bool {
		_, err := os.Stat(filepath.Join(dir, "up"))
		return err == nil
	})
	var workers []owner.ID
	for _, pid := range children(t, cmd.Process.Pid) {
		id, err := owner.Of(pid)
		require.NoError(t, err)
		workers = append(workers, id)
	}
	require.Len(t, workers, 3)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	for _, id := range workers {
		eventually(t, "a worker is gone", func() bool { return !id.Alive() })
	}
}

// switches counts how often the threads of a process were scheduled.
func switches(t *testing.T, pid int) (n int) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		for line := range strings.Lines(string(data)) {
			var count int
			if _, text, found := strings.Cut(line, "voluntary_ctxt_switches:"); found {
				_, err := fmt.Sscan(text, &count)
				require.NoError(t, err)
				n += count
			}
		}
	}
	return n
}

// A worker without work sleeps: after a while none of its threads runs any more.
func TestIdleWorkersSleep(t *testing.T) {
	const quiet = time.Second
	p := start(t, Options{Workers: 3})
	for range 1000 {
		same(t, p, echoInt, 1)
	}
	for _, w := range p.Workers() {
		deadline := time.Now().Add(watchdog)
		for before := -1; ; {
			now := switches(t, w.Pid)
			if now == before {
				break
			}
			require.True(t, time.Now().Before(deadline), "worker %d still runs", w.Index)
			before = now
			<-time.After(quiet)
		}
	}
}
