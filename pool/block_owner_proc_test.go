//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func init() {
	hauls["fail"] = func(ctx context.Context, in freight, out *haulage) error {
		makeWords(ctx, 10_000)
		out.B, out.B2 = in.Own.B, makeWords(ctx, 10)
		return errors.New("it went badly")
	}
	hauls["panic"] = func(ctx context.Context, in freight, out *haulage) error {
		makeWords(ctx, 10_000)
		panic("no")
	}
	hauls["leave"] = func(ctx context.Context, in freight, out *haulage) error {
		makeWords(ctx, 10_000)
		runtime.Goexit()
		return nil
	}
	hauls["return twice"] = func(ctx context.Context, in freight, out *haulage) error {
		out.B, out.B2 = in.Own.B, makeWords(ctx, 10)
		out.Lent.F = makeWords(ctx, 100).Freeze()
		out.Lent.F2 = out.Lent.F
		return nil
	}
	hauls["wait"] = func(ctx context.Context, in freight, out *haulage) error {
		makeWords(ctx, 10)
		<-ctx.Done()
		out.B = in.Own.B
		return nil
	}
	// Ways to die with blocks.
	haulAndDie := func(how func()) func(context.Context, freight, *haulage) error {
		return func(ctx context.Context, in freight, out *haulage) error {
			makeWords(ctx, 10)
			makeWords(ctx, 100_000).Freeze()
			out.B = makeWords(ctx, 5000)
			must(MakeResult[byte](ctx, 50_000))
			how()
			select {}
		}
	}
	hauls["kill"] = haulAndDie(func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	hauls["exit"] = haulAndDie(func() { os.Exit(7) })
	hauls["crash"] = haulAndDie(func() { go func() { panic("in a goroutine of its own") }() })
}

// laden returns a freight with one block of n words.
func laden(t testing.TB, p *Pool, how string, n int) freight {
	in := freight{How: how}
	in.Own.B = newWords(t, p, n)
	return in
}

// A task that never ran gives its blocks back, to the same handle.
func TestBlocksComeBack(t *testing.T) {
	p := start(t, Options{Workers: 2})
	release := hold(t, p)
	f := newWords(t, p, 10).Freeze()
	for _, n := range []int{0, 1, 10_000} {
		ctx, cancel := context.WithCancel(t.Context())
		in := laden(t, p, "return", n)
		in.Own.B2, in.F = newWords(t, p, 3), f
		fut, err := haul.Go(ctx, p, in)
		require.NoError(t, err)
		require.False(t, in.Own.B.Held())
		require.Panics(t, func() { in.Own.B.Slice() })
		cancel()
		_, err = fut.Wait(t.Context())
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, in.Own.B.Held())
		requireWords(t, in.Own.B.Slice(), n, 0)
		requireWords(t, in.Own.B2.Slice(), 3, 0)

		ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
		_, err = haul.Call(ctx, p, in)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		requireWords(t, in.Own.B.Slice(), n, 0)
		in.Own.B.Release()
		in.Own.B2.Release()
	}
	in := laden(t, p, "return", 100)
	fut, err := haul.Go(t.Context(), p, in)
	require.NoError(t, err)
	release()
	out, err := fut.Wait(t.Context())
	require.NoError(t, err)
	require.False(t, in.Own.B.Held())
	requireWords(t, out.B.Slice(), 100, 5)
	out.B.Release()
	requireWords(t, f.Slice(), 10, 0)
	f.Release()
	requireNothingHeld(t, p)
}

// A task that is not accepted leaves its blocks alone.
func TestBlocksStay(t *testing.T) {
	p := start(t, Options{Workers: 1, Queue: 1})
	release := hold(t, p)
	in := laden(t, p, "return", 1000)
	in.F = newWords(t, p, 10).Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := haul.Go(ctx, p, in)
	require.ErrorIs(t, err, context.DeadlineExceeded, "the queue is full")
	require.True(t, in.Own.B.Held())
	_, err = haul.Call(ctx, p, in)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, in.Own.B.Held())
	release()

	_, err = crooked.Call(t.Context(), p, crookedIn{B: in.Own.B, When: map[string]time.Time{"": time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}})
	require.ErrorContains(t, err, "When")
	require.True(t, in.Own.B.Held())

	other, err := New(Options{Workers: 1})
	require.NoError(t, err)
	_, err = haul.Call(t.Context(), other, in)
	require.ErrorContains(t, err, "belongs to another pool")
	own := laden(t, other, "return", 10)
	require.NoError(t, other.Close())
	_, err = haul.Call(t.Context(), other, own)
	require.ErrorIs(t, err, ErrClosed)
	requireWords(t, own.Own.B.Slice(), 10, 0)
	own.Own.B.Release()

	requireWords(t, in.Own.B.Slice(), 1000, 0)
	in.Own.B.Release()
	in.F.Release()
	requireNothingHeld(t, p)
}

type crookedIn struct {
	B    *Block[uint64]
	When map[string]time.Time
}

var crooked = Func("crooked", func(context.Context, crookedIn) (int, error) { return 0, nil })

// A frozen block that is given up while a call waits for its turn is not read by it.
func TestFrozenReleasedWhileCallWaits(t *testing.T) {
	p := start(t, Options{Workers: 1, Queue: 1})
	release := hold(t, p)
	in := laden(t, p, "read", 100)
	in.F = newWords(t, p, 100).Freeze()
	ended := make(chan error, 1)
	go func() {
		_, err := haul.Call(context.Background(), p, in)
		ended <- err
	}()
	eventually(t, "the call waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiters) == 1
	})
	in.F.Release()
	release()
	require.ErrorContains(t, receive(t, ended), "the block of 800 bytes was released")
	requireWords(t, in.Own.B.Slice(), 100, 0)
	in.Own.B.Release()
	requireNothingHeld(t, p)
}

// Of two calls with one block exactly one has it.
func TestBlockGivenByTwo(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for range 200 {
		in := laden(t, p, "keep", 10)
		var errs [2]error
		var wg sync.WaitGroup
		for k := range errs {
			wg.Go(func() { _, errs[k] = haul.Call(context.Background(), p, in) })
		}
		wg.Wait()
		require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v", errs)
		require.ErrorContains(t, errors.Join(errs[:]...), "the block of 80 bytes ") // it has been handed to a task, which may have ended
	}
	requireNothingHeld(t, p)
}

// Whatever happens to a task that runs, its blocks are free afterwards.
func TestBlocksOfFailedTasks(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for how, want := range map[string]string{
		"fail": "it went badly", "panic": "panic: no", "leave": "Goexit", "return twice": "is there twice", "no such": "no such deed",
	} {
		t.Run(how, func(t *testing.T) {
			in := laden(t, p, how, 3000)
			in.F = newWords(t, p, 10).Freeze()
			_, err := haul.Call(t.Context(), p, in)
			require.ErrorContains(t, err, want)
			require.False(t, in.Own.B.Held())
			require.Panics(t, func() { in.Own.B.Release() })
			in.F.Release()
			requireNothingHeld(t, p)
		})
	}
	t.Run("context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := laden(t, p, "wait", 3000)
		fut, err := haul.Go(ctx, p, in)
		require.NoError(t, err)
		eventually(t, "the task runs", func() bool { return slotsThatAre(p, running) == 1 })
		cancel()
		_, err = fut.Wait(t.Context())
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, in.Own.B.Held())
		requireNothingHeld(t, p)
		require.False(t, in.Own.B.Held())
	})
}

// With a worker goes what its task was given and what it had made; the error says how much was lost.
func TestBlocksOfDeadWorkers(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for _, how := range []string{"kill", "exit", "crash"} {
		for blocks := range 3 {
			in := freight{How: how, F: newWords(t, p, 20_000).Freeze()}
			if blocks > 0 {
				in.Own.B = newWords(t, p, 10)
			}
			if blocks > 1 {
				in.Own.B2 = newWords(t, p, 100_000)
			}
			_, err := haul.Call(t.Context(), p, in)
			var died *WorkerDiedError
			require.ErrorAs(t, err, &died)
			require.Equal(t, blocks, died.Blocks)
			if blocks > 0 {
				require.ErrorContains(t, err, "blocks that it had been given")
				require.False(t, in.Own.B.Held())
			}
			requireWords(t, in.F.Slice(), 20_000, 0)
			in.F.Release()
			requireNothingHeld(t, p)
		}
	}
}

// The blocks of a result that nobody can ask for any more are freed.
func TestDroppedFutures(t *testing.T) {
	p := start(t, Options{Workers: 2})
	kept := make([]*Future[*Block[uint64]], 0, 10)
	for range 10 {
		for range 10 {
			_, err := fresh.Go(t.Context(), p, 1000)
			require.NoError(t, err)
			_, err = haul.Go(t.Context(), p, freight{How: "make, freeze", Tags: tags(1000)})
			require.NoError(t, err)
		}
		fut, err := fresh.Go(t.Context(), p, 1000) // keeps nobody else's block
		require.NoError(t, err)
		kept = append(kept, fut)
	}
	eventually(t, "the blocks of dropped futures are freed", func() bool {
		runtime.GC()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reap()
		return p.outstanding == 0 && p.home.blocks == len(kept)
	})
	for _, fut := range kept {
		var got [3]*Block[uint64]
		var wg sync.WaitGroup
		for k := range got {
			wg.Go(func() {
				var err error
				got[k], err = fut.Wait(context.Background())
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		require.Same(t, got[0], got[1])
		require.Same(t, got[0], got[2])
		for i, x := range got[0].Slice() {
			require.EqualValues(t, i, x)
		}
		got[0].Release()
	}
	requireNothingHeld(t, p)
}

// A context that ends when the result comes: either the caller has the block, or nobody has, without the collector's help.
func TestContextEndsAtResult(t *testing.T) {
	p := start(t, Options{Workers: 2})
	var late, came int
	took := 100 * time.Microsecond // what a call takes, more or less
	for k := range 600 {
		ctx, cancel := context.WithTimeout(t.Context(), took*time.Duration(k%40)/20)
		began := time.Now()
		in := laden(t, p, "return", 10)
		out, err := haul.Call(ctx, p, in)
		if err == nil {
			came++
			took = (7*took + time.Since(began)) / 8
			requireWords(t, out.B.Slice(), 10, 5)
			out.B.Release()
		} else {
			late++
			took += took / 8
			require.ErrorIs(t, err, context.DeadlineExceeded)
			if in.Own.B.Held() { // it never ran
				in.Own.B.Release()
			}
		}
		cancel()
	}
	t.Logf("%d came, %d were late", came, late)
	require.NotZero(t, came)
	require.NotZero(t, late)
	requireNothingHeld(t, p)
}
