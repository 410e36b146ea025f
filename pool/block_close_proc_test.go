//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

var looked uint64 // keeps reads from being optimised away

// faults reports whether f touches an address that it must not.
func faults(f func()) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	f()
	return false
}

// Blocks outlive their pool; with the last of them its memory goes.
func TestBlocksAfterEnd(t *testing.T) {
	for name, end := range map[string]func(*Pool){"Close": func(p *Pool) { p.Close() }, "Terminate": (*Pool).Terminate} {
		t.Run(name, func(t *testing.T) {
			p, err := New(Options{Workers: 2})
			require.NoError(t, err)
			small, large, f := newWords(t, p, 10), newWords(t, p, 1_000_000), newWords(t, p, 5000).Freeze()
			out, err := haul.Call(t.Context(), p, freight{How: "make", Tags: tags(3000)})
			require.NoError(t, err)
			gone := newWords(t, p, 1_000_000)
			fut, err := fresh.Go(t.Context(), p, 100)
			require.NoError(t, err)
			<-fut.Done()
			gone.Release()
			end(p)

			requireWords(t, small.Slice(), 10, 0)
			requireWords(t, large.Slice(), 1_000_000, 0)
			requireWords(t, f.Slice(), 5000, 0)
			requireWords(t, out.B.Slice(), 3000, 0)
			addTo(large, 7)
			requireWords(t, large.Slice(), 1_000_000, 7)
			last, err := fut.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, 100, last.Len())

			_, err = NewBlock[int](t.Context(), p, 1)
			require.ErrorIs(t, err, ErrClosed)
			_, ok := TryNewBlock[int](p, 1)
			require.False(t, ok)
			in := freight{How: "keep"}
			in.Own.B = small
			_, err = haul.Call(t.Context(), p, in)
			require.ErrorIs(t, err, ErrClosed)
			require.True(t, small.Held())

			stale := small.Slice()
			frozen := out.B.Freeze()
			large.Release()
			f.Release()
			frozen.Release()
			last.Release()
			require.False(t, faults(func() { looked = stale[0] }))
			small.Release()
			require.True(t, faults(func() { looked = stale[0] }), "the memory is still there")
			require.Zero(t, p.home.blocks)
		})
	}
}

// The memory that blocks keep of a pool that has ended is theirs alone.
func TestMemoryAfterEnd(t *testing.T) {
	p, err := New(Options{Workers: 2})
	require.NoError(t, err)
	small := newWords(t, p, 10)
	many := make([]*Block[uint64], 20)
	for i := range many {
		many[i] = newWords(t, p, 100_000)
	}
	require.NoError(t, p.Close())
	for _, b := range many {
		b.Release()
	}
	require.LessOrEqual(t, p.store.Stats().Backed, int64(1<<20))
	requireWords(t, small.Slice(), 10, 0)
	small.Release()
}

// What waited when the pool was ended comes back, what ran does not, and nobody crashes over memory that has gone.
func TestBlocksAtTerminate(t *testing.T) {
	p, err := New(Options{Workers: 1, Queue: 3})
	require.NoError(t, err)
	read := newWords(t, p, 100).Freeze()
	busy, err := haul.Go(t.Context(), p, freight{How: "wait", F: read})
	require.NoError(t, err)
	eventually(t, "the task runs", func() bool { return slotsThatAre(p, running) == 1 })
	queued := laden(t, p, "return", 1000)
	queued.F = newWords(t, p, 100).Freeze()
	waiting := laden(t, p, "return", 2000)
	inQueue, err := haul.Go(t.Context(), p, queued)
	require.NoError(t, err)
	_, err = block.Go(t.Context(), p, 1)
	require.NoError(t, err)
	ended := make(chan error, 2)
	go func() { _, err := haul.Call(context.Background(), p, waiting); ended <- err }()
	go func() { _, err := count.Call(context.Background(), p, make([]byte, 5<<20)); ended <- err }()
	eventually(t, "two calls wait", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiters) == 2
	})
	p.Terminate()
	for range 2 {
		require.ErrorIs(t, receive(t, ended), ErrClosed)
	}
	_, err = busy.Wait(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	_, err = inQueue.Wait(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	requireWords(t, queued.Own.B.Slice(), 1000, 0)
	requireWords(t, queued.F.Slice(), 100, 0)
	requireWords(t, waiting.Own.B.Slice(), 2000, 0)
	queued.Own.B.Release()
	waiting.Own.B.Release()
	queued.F.Release()
	requireWords(t, read.Slice(), 100, 0)
	read.Release()
	require.Zero(t, p.home.blocks)
}

// A pool that ends while large arguments wait for slots, blocks for memory, and results are copied.
func TestEndBesideEverything(t *testing.T) {
	for k := range 12 {
		p, err := New(Options{Workers: 2, Queue: 2, Memory: 16 << 20})
		require.NoError(t, err)
		ended, began := make(chan error, 8), make(chan struct{}, 1<<20)
		until := func(call func() error) {
			go func() {
				for {
					if err := call(); err != nil {
						ended <- err
						return
					}
					began <- struct{}{}
				}
			}()
		}
		for range 2 {
			until(func() error { _, err := count.Call(context.Background(), p, make([]byte, 3<<20)); return err })
			until(func() error { _, err := inPlace.Call(context.Background(), p, 2<<20); return err })
			until(func() error {
				b, err := NewBlock[uint64](context.Background(), p, 1<<19)
				if err == nil {
					b.Release()
				}
				return err
			})
			until(func() error {
				b, err := fresh.Call(context.Background(), p, 1<<18)
				if err == nil {
					b.Release()
				}
				return err
			})
		}
		for range 5 * (k + 1) {
			receive(t, began)
		}
		if k%2 == 0 {
			p.Terminate()
		} else {
			require.NoError(t, p.Close())
		}
		for range 8 {
			require.ErrorIs(t, receive(t, ended), ErrClosed)
		}
		eventually(t, "results that came too late are freed", func() bool {
			runtime.GC()
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.home.blocks == 0
		})
	}
}
