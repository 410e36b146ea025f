//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

const mib = 1 << 20

// hungryFor takes so many MiB, and then as many again.
var hungryFor = Func("hungry for", func(ctx context.Context, n int) (int, error) {
	for range 2 {
		if _, err := NewBlock[byte](ctx, nil, n*mib); err != nil {
			return 0, err
		}
	}
	return n, nil
})

// A rendezvous is so many MiB and a named pipe.
type rendezvous struct {
	N    int
	Gate string
}

// hungryAfter takes so many MiB, waits at the gate, and then takes as many again.
var hungryAfter = Func("hungry after", func(ctx context.Context, r rendezvous) (int, error) {
	if _, err := NewBlock[byte](ctx, nil, r.N*mib); err != nil {
		return 0, err
	}
	f, err := os.Open(r.Gate)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	_, err = NewBlock[byte](ctx, nil, r.N*mib)
	return r.N, err
})

// waitsForMemory reports whether somebody of the program does.
func waitsForMemory(p *Pool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starving > 0
}

// A block for which there is no room waits for one that is released, by whomever.
func TestNewBlockWaits(t *testing.T) {
	p := start(t, Options{Workers: 1, Memory: 4 * mib})
	give := map[string]func(*Block[byte]){
		"released": (*Block[byte]).Release,
		"in a task": func(b *Block[byte]) {
			_, err := swallow.Call(t.Context(), p, b)
			require.NoError(t, err)
		},
		"frozen": func(b *Block[byte]) { b.Freeze().Release() },
	}
	for name, giveUp := range give {
		t.Run(name, func(t *testing.T) {
			b, err := NewBlock[byte](t.Context(), p, 3*mib)
			require.NoError(t, err)
			_, ok := TryNewBlock[byte](p, 2*mib)
			require.False(t, ok)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			_, err = NewBlock[byte](ctx, p, 2*mib)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)

			got := make(chan *Block[byte], 1)
			go func() {
				b, _ := NewBlock[byte](context.Background(), p, 2*mib)
				got <- b
			}()
			eventually(t, "the second waits", func() bool { return waitsForMemory(p) })
			giveUp(b)
			receive(t, got).Release()
		})
	}
	b, ok := TryNewBlock[byte](p, 4*mib)
	require.True(t, ok)
	b.Release()
	requireNothingHeld(t, p)
}

var swallow = Func("swallow", func(context.Context, *Block[byte]) (int, error) { return 0, nil })

// What can never fit is refused at once, whoever asks, even while everything is taken.
func TestTooLarge(t *testing.T) {
	p := start(t, Options{Workers: 2, Memory: 4 * mib})
	release := hold(t, p)
	queuedArgument, err := count.Go(t.Context(), p, make([]byte, 3*mib))
	require.NoError(t, err)
	_, err = NewBlock[byte](t.Context(), p, 5*mib)
	require.ErrorIs(t, err, ErrTooLarge)
	require.EqualError(t, err, "new block of 5242880 bytes: allocate 5242880 bytes: the arena has 4194304: larger than the arena")
	_, err = count.Call(t.Context(), p, make([]byte, 5*mib)) // the queue is full of arguments, which must not matter
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "the arena has 4194304")
	release()
	_, err = queuedArgument.Wait(t.Context())
	require.NoError(t, err)
	for _, call := range []func() error{
		func() error { _, err := inPlace.Call(t.Context(), p, 5*mib); return err },
		func() error { _, err := fresh.Call(t.Context(), p, 5*mib/8); return err },
		func() error { _, err := grow.Call(t.Context(), p, 5*mib); return err },
	} {
		err := call()
		require.ErrorIs(t, err, ErrTooLarge)
		require.ErrorContains(t, err, "the arena has 4194304")
		require.ErrorContains(t, err, "52428", "the size that was asked for")
	}
	requireNothingHeld(t, p)
}

// requireOneStarves runs two tasks that each have some memory and wait for the other's: one gives way.
func requireOneStarves(t *testing.T, p *Pool) {
	t.Helper()
	g := newGate(t)
	var futures []*Future[int]
	for range 2 {
		f, err := hungryAfter.Go(t.Context(), p, rendezvous{5, g.path})
		require.NoError(t, err)
		futures = append(futures, f)
	}
	eventually(t, "both have some", func() bool { return p.Memory().Blocks >= 10*mib })
	g.open()
	starved := 0
	for _, f := range futures {
		n, err := f.Wait(t.Context())
		if err != nil {
			starved++
			require.ErrorContains(t, err, "every task that runs waits for memory")
			require.ErrorContains(t, err, "new block of 5242880 bytes")
			continue
		}
		require.Equal(t, 5, n)
	}
	require.Equal(t, 1, starved)
}

func TestTasksThatStarve(t *testing.T) {
	p := start(t, Options{Workers: 2, Memory: 12 * mib})
	for range 5 {
		requireOneStarves(t, p)
	}
	requireNothingHeld(t, p)
}

// Who does not come to look for memory is not told that there is none: it was stopped here, as it might have been kept waiting for a
// processor. Every look of the parent's comes before the worker's next.
func TestHungryWorkerThatCannotLook(t *testing.T) {
	p := start(t, Options{Workers: 1, Memory: 12 * mib, Grace: watchdog})
	b, err := NewBlock[byte](t.Context(), p, 9*mib)
	require.NoError(t, err)
	fut, err := hungryFor.Go(t.Context(), p, 4)
	require.NoError(t, err)
	area := &p.mem.workers[0]
	eventually(t, "the task waits", func() bool { return area.appetite().state() == hungry })
	pid := p.Workers()[0].Pid
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	eventually(t, "it has stopped", func() bool { return must(sys.StatusOf(pid)).Stopped })
	b.Release()
	for range 10 {
		require.True(t, p.decideHunger())
	}
	require.Equal(t, hungry, area.appetite().state())
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	n, err := fut.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4, n)
}

// If the program has a block it could release that, so the tasks wait: but not for ever.
func TestTasksThatStarveBesideTheProgram(t *testing.T) {
	defer func(was time.Duration) { starvedFor = was }(starvedFor)
	starvedFor = 300 * time.Millisecond
	p, err := New(Options{Workers: 2, Memory: 12 * mib})
	require.NoError(t, err)
	b := newWords(t, p, 10)
	requireOneStarves(t, p)
	b.Release()
	requireNothingHeld(t, p)
	require.NoError(t, p.Close()) // before starvedFor is changed back
}

// A task that waits for memory gets what the program releases, also if that takes its time.
func TestTaskWaitsForTheProgram(t *testing.T) {
	p := start(t, Options{Workers: 2, Memory: 12 * mib})
	b, err := NewBlock[byte](t.Context(), p, 9*mib)
	require.NoError(t, err)
	fut, err := hungryFor.Go(t.Context(), p, 4)
	require.NoError(t, err)
	eventually(t, "the task waits", func() bool {
		return p.mem.workers[0].appetite().state() == hungry || p.mem.workers[1].appetite().state() == hungry
	})
	b.Release()
	_, err = fut.Wait(t.Context())
	require.NoError(t, err)

	b, err = NewBlock[byte](t.Context(), p, 9*mib)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	fut, err = hungryFor.Go(ctx, p, 4)
	require.NoError(t, err)
	eventually(t, "the task waits", func() bool {
		return p.mem.workers[0].appetite().state() == hungry || p.mem.workers[1].appetite().state() == hungry
	})
	cancel()
	_, err = fut.Wait(t.Context())
	require.ErrorIs(t, err, context.Canceled)
	eventually(t, "the task has ended", func() bool { return p.Stats().Outstanding == 0 })
	b.Release()
	requireNothingHeld(t, p)
}

// Arguments that wait leave room for the results of those that run.
func TestArgumentsLeaveRoom(t *testing.T) {
	p := start(t, Options{Workers: 2, Memory: 12 * mib})
	futures := make(chan *Future[[]byte], 60)
	failed := make(chan error, 1)
	go func() {
		defer close(futures)
		for range 60 {
			f, err := echoBytes.Go(context.Background(), p, make([]byte, mib))
			if err != nil {
				failed <- err
				return
			}
			futures <- f
		}
	}()
	for f := range futures {
		b, err := f.Wait(t.Context())
		require.NoError(t, err)
		require.Len(t, b, mib)
	}
	require.Empty(t, failed)
	requireNothingHeld(t, p)
}

// Memory goes back to the system some time after it was freed, by whomever, and then nothing stirs any more.
func TestMemoryGoesBack(t *testing.T) {
	t.Parallel() // it mostly waits
	p := start(t, Options{Workers: 2})
	for name, use := range map[string]func(){
		"by the program": func() { newWords(t, p, 300_000).Release(); newWords(t, p, 10).Release() },
		"by tasks": func() {
			_, err := haul.Call(t.Context(), p, freight{How: "make, drop", Tags: tags(300_000)})
			require.NoError(t, err)
		},
		"of results": func() {
			out, err := haul.Call(t.Context(), p, freight{How: "make", Tags: tags(300)})
			require.NoError(t, err)
			out.B.Release()
			_, err = inPlace.Call(t.Context(), p, mib)
			require.NoError(t, err)
		},
		"of the dead": func() {
			_, err := haul.Call(t.Context(), p, freight{How: "kill"})
			require.ErrorIs(t, err, ErrWorkerDied)
		},
	} {
		t.Run(name, func(t *testing.T) {
			use()
			eventually(t, "all memory went back", func() bool { return p.store.Stats() == shm.ArenaStats{Size: p.opts.Memory, Free: p.opts.Memory} })
			eventually(t, "nobody looks after it any more", func() bool { return !p.soiled.Load() })
		})
	}
}
