//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

var (
	// inKernel hangs in a system call, as in a call of C code.
	inKernel = Func("in kernel", func(_ context.Context, began string) (int, error) {
		var ends [2]int
		if err := syscall.Pipe(ends[:]); err != nil {
			return 0, err
		}
		if err := os.WriteFile(began, nil, 0o600); err != nil {
			return 0, err
		}
		return syscall.Read(ends[0], make([]byte, 1)) // nobody writes
	})

	profilesItself = Func("profiles itself", func(ctx context.Context, began string) (int, error) {
		f, err := os.Create(began)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return 0, err
		}
		defer pprof.StopCPUProfile()
		<-ctx.Done()
		return 0, ctx.Err()
	})
)

// A worker says where it is, whatever it does, and goes on with that.
func TestStacks(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: time.Millisecond})
	o := operate(t, p)
	stacks := func() string {
		text, err := o.Stacks(t.Context(), someWorker(t, p, 0))
		require.NoError(t, err)
		return string(text)
	}
	eventually(t, "it is idle", func() bool { return strings.Contains(stacks(), "pool.(*worker).sleep(") })
	for _, f := range []*Function[string, int]{spinning, inKernel} {
		ctx, cancel := context.WithCancel(t.Context())
		began := filepath.Join(t.TempDir(), "began")
		fut, err := f.Go(ctx, p, began)
		require.NoError(t, err)
		eventually(t, "it runs", func() bool { _, err := os.Stat(began); return err == nil })
		who := someWorker(t, p, 0)
		for range 3 {
			require.Contains(t, stacks(), "pool.(*worker).invoke(")
		}
		require.Contains(t, stacks(), "init.func")
		require.Equal(t, who, someWorker(t, p, 0), "it has died of it")
		require.False(t, fut.finished())
		cancel()
		_, err = fut.Wait(context.WithoutCancel(ctx))
		require.ErrorIs(t, err, context.Canceled)
		same(t, p, echoInt, 1)
	}
	eventually(t, "it sleeps", func() bool { return hibernates(p) })
	require.Contains(t, stacks(), "goroutine ")
}

// Many questions at once are all answered, each by its own answer, and nothing of them stays.
func TestManyInquiries(t *testing.T) {
	t.Parallel() // it mostly waits
	p := start(t, Options{Workers: 2})
	var wg sync.WaitGroup
	for k := range 4 {
		o, who := operate(t, p), someWorker(t, p, k%2)
		wg.Go(func() {
			for range 5 {
				text, err := o.Stacks(t.Context(), who)
				assert.NoError(t, err)
				assert.Contains(t, string(text), "goroutine ")
			}
		})
	}
	wg.Wait()
	for k := range 2 {
		fds := func() (n int) {
			links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", someWorker(t, p, k).Pid))
			require.NoError(t, err)
			for _, link := range links {
				if to, _ := os.Readlink(link); strings.HasPrefix(to, "/memfd:shmkit-answer") {
					n++
				}
			}
			return n
		}
		require.LessOrEqual(t, fds(), mostAnswers)
		eventually(t, "they are closed", func() bool { return fds() == 0 })
	}
}

// Who is stopped or dead does not answer, and who asks does not wait for it.
func TestInquiriesWithoutAnswer(t *testing.T) {
	p := start(t, Options{Workers: 2})
	o := operate(t, p)
	stopped, dies := someWorker(t, p, 0), someWorker(t, p, 1)
	defer syscall.Kill(stopped.Pid, syscall.SIGCONT) // or Close waits for it
	suspend(t, stopped.Pid)
	_, err := o.Stacks(t.Context(), stopped)
	require.ErrorIs(t, err, ErrNoAnswer)
	require.ErrorContains(t, err, "kill -CONT")

	failed := make(chan error, 1)
	go func() {
		_, err := o.Profile(context.Background(), dies, time.Hour)
		failed <- err
	}()
	eventually(t, "it was asked", func() bool { return o.mem.told.Board.Requests.Look() == 0 })
	require.NoError(t, syscall.Kill(dies.Pid, syscall.SIGKILL))
	require.ErrorIs(t, receive(t, failed), ErrGone)
	_, err = o.Stacks(t.Context(), dies)
	require.ErrorIs(t, err, ErrGone)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	eventually(t, "there is another", func() bool { return p.Stats().Deaths == 1 && p.Stats().Workers == 2 })
	_, err = o.Profile(ctx, someWorker(t, p, 1), time.Hour)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	require.NoError(t, syscall.Kill(stopped.Pid, syscall.SIGCONT))
	text, err := o.Stacks(t.Context(), stopped)
	require.NoError(t, err)
	require.NotEmpty(t, text)
}

func TestProfile(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: time.Millisecond})
	o := operate(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	began := filepath.Join(t.TempDir(), "began")
	_, err := spinning.Go(ctx, p, began)
	require.NoError(t, err)
	eventually(t, "it runs", func() bool { _, err := os.Stat(began); return err == nil })
	text, err := o.Profile(t.Context(), someWorker(t, p, 0), 200*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, []byte{0x1f, 0x8b}, text[:2], "it is compressed")
	for _, wrong := range []time.Duration{0, -1, telemetry.LongestProfile + 1} {
		_, err = o.Profile(t.Context(), someWorker(t, p, 0), wrong)
		require.ErrorContains(t, err, "it must be positive")
	}
	cancel()
	eventually(t, "it has ended", func() bool { return p.Stats().Deaths == 1 && p.Stats().Workers == 1 })

	ctx, cancel = context.WithCancel(t.Context())
	began = filepath.Join(t.TempDir(), "began")
	f, err := profilesItself.Go(ctx, p, began)
	require.NoError(t, err)
	eventually(t, "it runs", func() bool { _, err := os.Stat(began); return err == nil })
	eventually(t, "somebody else is at it", func() bool {
		_, err := o.Profile(t.Context(), someWorker(t, p, 0), time.Millisecond)
		return err != nil && assert.ErrorContains(t, err, "already in use")
	})
	cancel()
	_, err = f.Wait(context.WithoutCancel(ctx))
	require.ErrorIs(t, err, context.Canceled)
}

// A worker may say anything, or nothing, under the name of an answer.
func TestHostileAnswers(t *testing.T) {
	p := start(t, Options{Workers: 1})
	who := Subject{1, os.Getpid()}
	r := telemetry.AboutWorker(telemetry.ShowStacks, 1, 0, 7)
	name := fmt.Sprintf(answerName, uint64(r))
	text, err := fetch(who.Pid, r)
	require.NoError(t, err)
	require.Nil(t, text)

	f, err := sys.Memfd(name, 1<<20) // not complete for as long as it can be written
	require.NoError(t, err)
	text, err = fetch(who.Pid, r)
	require.NoError(t, err)
	require.Nil(t, text)
	require.NoError(t, f.Close())

	f, err = sys.Sealed(name, nil)
	require.NoError(t, err)
	text, err = fetch(who.Pid, r)
	require.NoError(t, err)
	require.NotNil(t, text)
	require.NoError(t, f.Close())

	f, err = sys.Sealed(name, make([]byte, mostAnswer+1))
	require.NoError(t, err)
	_, err = fetch(who.Pid, r)
	require.ErrorContains(t, err, "longer than 64 MiB")
	require.NoError(t, f.Close())

	p.mu.Lock()
	area := &p.mem.workers[0]
	p.mu.Unlock()
	for _, q := range []uint64{1, 1<<64 - 1, uint64(telemetry.Done), uint64(telemetry.AboutWorker(telemetry.Act(7), 1, 0, 0))} {
		area.inquiry.Store(q)
		area.cancelSeq.Add(1)
		sys.FutexWake(&area.cancelSeq, 1)
		eventually(t, "it takes note", func() bool { return area.inquiry.Load() == 0 })
	}
	same(t, p, echoInt, 1)
}
