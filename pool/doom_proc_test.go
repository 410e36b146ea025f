//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// soon is a grace period, or a deadline, that tests wait for.
const soon = 20 * time.Millisecond

var (
	// spinning says that it has begun, by a file with its pid, and never ends.
	spinning = Func("spinning", func(_ context.Context, began string) (int, error) {
		if err := os.WriteFile(began, []byte("x"), 0o600); err != nil {
			return 0, err
		}
		for n := 0; ; n++ {
			spun = n
		}
	})
	spun int

	// lasts goes on for so many microseconds, whatever its context says.
	lasts = Func("lasts", func(_ context.Context, us int) (int, error) {
		for began := time.Now(); time.Since(began) < time.Duration(us)*time.Microsecond; {
		}
		return us, nil
	})

	leaveNote = InitFunc("leave note", func(_ context.Context, path string) error {
		return os.WriteFile(path, []byte("gone"), 0o600)
	})
	neverLeave = InitFunc("never leave", func(_ context.Context, path string) error {
		if err := os.WriteFile(path, []byte("going"), 0o600); err != nil {
			return err
		}
		select {}
	})
)

// beginEndless starts a task that never ends and returns when it runs.
func beginEndless(t *testing.T, ctx context.Context, p *Pool) *Future[int] {
	t.Helper()
	began := filepath.Join(t.TempDir(), "began")
	f, err := spinning.Go(ctx, p, began)
	require.NoError(t, err)
	eventually(t, "the task runs", func() bool { _, err := os.Stat(began); return err == nil })
	return f
}

func pids(p *Pool) (pids []int) {
	for _, w := range p.Workers() {
		pids = append(pids, w.Pid)
	}
	return pids
}

// A task that does not care for its context ends with its worker, which is replaced; OnExit has run. Nobody else notices.
// Seen in pebble's suite.
func TestEndlessTaskIsEnded(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note")
	p := start(t, Options{Workers: 2, Grace: soon, OnExit: leaveNote.With(note)})
	before := pids(p)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	f := beginEndless(t, ctx, p)
	for i := 0; p.Stats().Deaths == 0; i++ {
		same(t, p, echoInt, i)
	}
	_, err := f.Wait(t.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	eventually(t, "the worker is replaced", func() bool { return p.Stats().Workers == 2 })
	after := pids(p)
	require.True(t, before[0] == after[0] != (before[1] == after[1]), "one of %v was replaced: %v", before, after)
	_, err = os.Stat(note)
	require.NoError(t, err, "OnExit has run")
	require.EqualValues(t, 1, p.Stats().Deaths)
	require.Zero(t, p.Stats().Outstanding)
}

// A task that ends in time, whatever it says, keeps its worker.
func TestTaskThatListensKeepsItsWorker(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: watchdog})
	before := pids(p)
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := block.Call(ctx, p, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
	}
	same(t, p, echoInt, 1)
	require.Equal(t, before, pids(p))
}

// Tasks that end at about the end of their grace period: either the worker was faster, and lives on, or it was doomed. Never is
// another task hit.
func TestDoomBesideTheEnd(t *testing.T) {
	p := start(t, Options{Workers: 2, Grace: time.Millisecond})
	for i := range 150 {
		ctx, cancel := context.WithCancel(t.Context())
		f, err := lasts.Go(ctx, p, 2000+i%30*60)
		require.NoError(t, err)
		eventually(t, "the task runs or has ended", func() bool { return slotsThatAre(p, queued) == 0 })
		cancel()
		same(t, p, echoInt, i, -i, i*i)
		if _, err := f.Wait(t.Context()); err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
	}
	t.Logf("%d of 150 were doomed", p.Stats().Deaths)
	eventually(t, "nothing is left", func() bool { return p.Stats().Outstanding == 0 })
}

// A worker that does not go when it is told to is killed: one whose OnExit hangs, and one that is stopped.
// Seen in pebble's suite; a stopped worker in none.
func TestWorkerThatDoesNotGo(t *testing.T) {
	going := filepath.Join(t.TempDir(), "going")
	for name, o := range map[string]Options{
		"hangs":   {Workers: 1, Grace: soon, OnExit: neverLeave.With(going)},
		"stopped": {Workers: 1, Grace: soon},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(o)
			require.NoError(t, err)
			defer p.Terminate()
			ctx, cancel := context.WithCancel(t.Context())
			f := beginEndless(t, ctx, p)
			before := pids(p)
			if name == "stopped" {
				require.NoError(t, syscall.Kill(before[0], syscall.SIGSTOP))
			}
			cancel()
			_, err = f.Wait(t.Context())
			require.ErrorIs(t, err, context.Canceled)
			eventually(t, "the worker is replaced", func() bool { return p.Stats().Deaths == 1 && p.Stats().Workers == 1 })
			require.NotEqual(t, before, pids(p))
			same(t, p, echoInt, 1)
			if name == "hangs" {
				_, err = os.Stat(going)
				require.NoError(t, err)
			}
		})
	}
}

// OnExit runs in each worker when its pool is closed.
func TestOnExitAtClose(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note")
	p, err := New(Options{Workers: 1, Init: setup.With(settings{Greeting: "hi"}), OnExit: leaveNote.With(note)})
	require.NoError(t, err)
	s, err := greet.Call(t.Context(), p, "you")
	require.NoError(t, err)
	require.Equal(t, "hi you", s)
	_, err = os.Stat(note)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, p.Close())
	_, err = os.Stat(note)
	require.NoError(t, err)
}

// What a Map leaves running when its consumer breaks is ended.
func TestBreakEndsEndlessItems(t *testing.T) {
	p := start(t, Options{Workers: 2, Grace: soon})
	dir := t.TempDir()
	paths := func(yield func(string) bool) {
		for _, name := range []string{"a", "b", "c", "d"} {
			if !yield(filepath.Join(dir, name)) {
				return
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*soon)
	defer cancel()
	for _, err := range spinning.Map(ctx, p, paths) {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	eventually(t, "both workers are replaced", func() bool { s := p.Stats(); return s.Outstanding == 0 && s.Workers == 2 })
	assert.LessOrEqual(t, p.Stats().Deaths, uint64(2), "what waited has not run")
	same(t, p, echoInt, 1)
}

// A chunk of a Map is ended like a task.
func TestEndlessChunk(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: soon})
	ctx, cancel := context.WithTimeout(t.Context(), 5*soon)
	defer cancel()
	for _, err := range lasts.Map(ctx, p, func(yield func(int) bool) { _ = yield(1) && yield(int(time.Hour/time.Microsecond)) }) {
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
	eventually(t, "the worker is replaced", func() bool { s := p.Stats(); return s.Deaths == 1 && s.Outstanding == 0 && s.Workers == 1 })
	same(t, p, echoInt, 1)
}
