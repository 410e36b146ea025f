//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"context"

	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// estates counts the pools' memories that this process has mapped.
func estates(t *testing.T, p *Pool) int {
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	inodes := map[string]bool{}
	for line := range strings.Lines(string(maps)) {
		if f := strings.Fields(line); len(f) > 5 && strings.HasPrefix(f[5], "/memfd:shmkit:"+p.opts.Name) {
			inodes[f[4]] = true
		}
	}
	return len(inodes)
}

// On request a pool gets new memory and new workers. What the program holds in the old stays, until it lets go.
func TestRebuild(t *testing.T) {
	p := start(t, Options{Name: "rebuilt", Workers: 2})
	held := newWords(t, p, 1000)
	frozen := newWords(t, p, 10).Freeze()
	before := pids(p)
	require.NoError(t, p.Rebuild(t.Context()))
	requireStaff(t, p, 2)
	for _, pid := range pids(p) {
		require.NotContains(t, before, pid)
	}
	require.EqualValues(t, 1, p.Stats().Rebuilds)
	require.Zero(t, p.Stats().Deaths)

	held.Slice()[999] = 7
	require.NotZero(t, frozen.Slice()[9])
	_, err := haul.Call(t.Context(), p, freight{Own: struct{ B, B2 *Block[uint64] }{B: held}})
	require.ErrorContains(t, err, "copy it to a new one")
	_, err = haul.Call(t.Context(), p, freight{F: frozen})
	require.ErrorContains(t, err, "copy it to a new one")
	require.EqualValues(t, 7, held.Slice()[999])
	requireNothingHeld(t, p) // in the new memory
	eventually(t, "both are mapped", func() bool { return estates(t, p) == 2 })
	held.Release()
	frozen.Release()
	eventually(t, "one is", func() bool { return estates(t, p) == 1 })

	same(t, p, echoInt, 1, 2, 3)
	newWords(t, p, 1000).Release()
}

// Calls wait for it, and it waits for tasks: nothing is lost, however many want both.
func TestRebuildUnderLoad(t *testing.T) {
	p := start(t, Options{Workers: 2, Queue: 8})
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	defer callers.Wait()
	defer cancel()
	large := bytes.Repeat([]byte{7}, 100_000)
	for k := range 6 {
		callers.Go(func() {
			for ctx.Err() == nil {
				switch k % 3 {
				case 0:
					y, err := square.Call(t.Context(), p, k)
					assert.NoError(t, err)
					assert.Equal(t, k*k, y)
				case 1:
					y, err := echoBytes.Call(t.Context(), p, large)
					assert.NoError(t, err)
					assert.True(t, bytes.Equal(large, y))
				case 2:
					i := 0
					for y, err := range square.Map(t.Context(), p, numbers(500)) {
						assert.NoError(t, err)
						assert.Equal(t, i*i, y)
						i++
					}
					assert.Equal(t, 500, i)
				}
			}
		})
	}
	for range 5 {
		var rebuilders sync.WaitGroup
		for range 3 {
			rebuilders.Go(func() { assert.NoError(t, p.Rebuild(t.Context())) })
		}
		rebuilders.Wait()
	}
	cancel()
	callers.Wait()
	require.GreaterOrEqual(t, p.Stats().Rebuilds, uint64(5))
	require.Zero(t, p.Stats().Failed)
	requireNothingHeld(t, p)
	eventually(t, "one is mapped", func() bool { return estates(t, p) == 1 })
}

// So it is while workers die and the pool is resized. Not seen in any suite.
func TestRebuildUnderKills(t *testing.T) {
	p := start(t, Options{Workers: 2, MaxWorkers: 4, Retries: 100})
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			killOne(p)
			assert.NoError(t, p.Resize(1+i%4))
			_, err := echoInt.Call(t.Context(), p, i)
			assert.NoError(t, err)
		}
	})
	for k := range 10 {
		require.NoError(t, p.Rebuild(t.Context()))
		y, err := square.Call(t.Context(), p, k)
		require.NoError(t, err)
		require.Equal(t, k*k, y)
	}
	cancel()
	others.Wait()
	require.NoError(t, p.Resize(3))
	requireStaff(t, p, 3)
	requireNothingHeld(t, p)
}

// If the context ends while tasks run, nothing has changed.
func TestRebuildGivesUp(t *testing.T) {
	p := start(t, Options{Workers: 2})
	release := hold(t, p)
	before := pids(p)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	err := p.Rebuild(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "2 tasks have not ended")
	require.Equal(t, before, pids(p))
	waiting, err := square.Go(t.Context(), p, 3)
	require.NoError(t, err)
	release()
	y, err := waiting.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 9, y)
	require.Zero(t, p.Stats().Rebuilds)
}

// Close and Terminate go before, whoever waits.
func TestRebuildBesideTheEnd(t *testing.T) {
	for name, end := range map[string]func(*Pool){
		"Close":     func(p *Pool) { assert.NoError(t, p.Close()) },
		"Terminate": (*Pool).Terminate,
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				p, err := New(Options{Workers: 1})
				require.NoError(t, err)
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						if err := p.Rebuild(t.Context()); err != nil {
							assert.ErrorIs(t, err, ErrClosed)
						}
					})
					wg.Go(func() {
						if _, err := echoBytes.Call(t.Context(), p, make([]byte, 1000)); err != nil {
							assert.ErrorIs(t, err, ErrClosed)
						}
					})
				}
				end(p)
				wg.Wait()
			}
		})
	}
}

// violate writes what cannot be, as a worker could that runs wild.
func violate(p *Pool) { p.mem.ctl.stop.Store(1) }

// What may be retried moves to the new memory, arguments of all sizes included, and fails nobody.
func TestCorruptionSparesRetries(t *testing.T) {
	p := start(t, Options{Workers: 2, Retries: 3, Queue: 64})
	var fs []*Future[[]byte]
	var args [][]byte
	release := hold(t, p)
	for i := range 30 {
		arg := bytes.Repeat([]byte{byte(i)}, []int{3, 100, 1000, 200_000}[i%4])
		f, err := echoBytes.Go(t.Context(), p, arg)
		require.NoError(t, err)
		args, fs = append(args, arg), append(fs, f)
	}
	violate(p)
	eventually(t, "the pool has new memory", func() bool { return p.Stats().Rebuilds == 1 })
	release()
	for i, f := range fs {
		got, err := f.Wait(t.Context())
		require.NoError(t, err)
		require.True(t, bytes.Equal(args[i], got))
	}
	eventually(t, "the old memory is gone", func() bool { return estates(t, p) == 1 })
	requireNothingHeld(t, p)
}

// A block of a task that has not begun comes back to who gave it; that of one that has is lost.
func TestCorruptionAndBlocks(t *testing.T) {
	p := start(t, Options{Workers: 1, Grace: soon})
	kept, given := newWords(t, p, 100), newWords(t, p, 100)
	given.Slice()[1] = 5
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := block.Go(ctx, p, 0)
	require.NoError(t, err)
	f, err := haul.Go(t.Context(), p, freight{How: "keep", Own: struct{ B, B2 *Block[uint64] }{B: given}})
	require.NoError(t, err)
	require.Panics(t, func() { given.Slice() })
	violate(p)
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, ErrCorrupted)
	require.EqualValues(t, 5, given.Slice()[1])
	given.Release()
	kept.Release()
	eventually(t, "the old memory is gone", func() bool { return estates(t, p) == 1 })
	requireNothingHeld(t, p)
}

// A Map goes on in the new memory. Items that were in a chunk then have an error of their own.
func TestCorruptionInMap(t *testing.T) {
	p := start(t, Options{Workers: 2})
	const n = 200_000
	i, failed := 0, 0
	for y, err := range square.Map(t.Context(), p, numbers(n)) {
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupted)
			failed++
		} else {
			require.Equal(t, i*i, y)
		}
		if i++; i == 50_000 {
			p.mu.Lock()
			_ = p.corrupted("a test says so")
			p.mu.Unlock()
		}
	}
	require.Equal(t, n, i)
	require.EqualValues(t, 1, p.Stats().Rebuilds)
	t.Logf("%d of %d items have failed", failed, n)
	requireNothingHeld(t, p)
}

// If there is no memory for a new start, the pool ends with an error that says both.
func TestNoNewMemory(t *testing.T) {
	p := start(t, Options{Workers: 1})
	p.mu.Lock()
	p.opts.Memory = maxMemory + 1 // which the arena refuses
	err := p.corrupted("a test says so")
	p.mu.Unlock()
	require.ErrorIs(t, err, ErrCorrupted)
	_, err = square.Call(t.Context(), p, 1)
	require.ErrorIs(t, err, ErrCorrupted)
	require.ErrorContains(t, err, "no new memory")
}
