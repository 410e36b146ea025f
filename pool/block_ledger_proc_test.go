//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A user does what programs do with blocks, at random.
type user struct {
	t      *testing.T
	p      *Pool
	rng    *rand.Rand
	shared *Frozen[uint64]
	blocks []*Block[uint64] // held, and as newWords has made them, plus more
	more   []uint64
	stats  map[string]int
}

// mishap reports whether a call failed in a way that is part of the game.
func (u *user) mishap(err error) bool {
	if err == nil {
		u.stats["went well"]++
		return false
	}
	switch {
	case errors.Is(err, ErrWorkerDied):
		u.stats["died"]++
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		u.stats["ended"]++
	default:
		assert.NoError(u.t, err)
	}
	return true
}

func (u *user) add(b *Block[uint64], more uint64) {
	u.blocks, u.more = append(u.blocks, b), append(u.more, more)
}

// take takes one of the blocks away, or a new one.
func (u *user) take() (b *Block[uint64], more uint64) {
	if len(u.blocks) < 5 {
		sizes := []int{0, 1, 100, 5000, 30_000}
		return newWords(u.t, u.p, sizes[u.rng.IntN(len(sizes))]), 0
	}
	i := u.rng.IntN(len(u.blocks))
	b, more = u.blocks[i], u.more[i]
	u.blocks, u.more = slices.Delete(u.blocks, i, i+1), slices.Delete(u.more, i, i+1)
	requireWords(u.t, b.Slice(), b.Len(), more)
	return b, more
}

// call sends a block to a task that adds 5 and returns it. If it never ran the block comes back.
func (u *user) call(ctx context.Context, await func(freight) (haulage, error)) {
	in := freight{How: "return", F: u.shared}
	var more uint64
	in.Own.B, more = u.take()
	out, err := await(in)
	switch {
	case !u.mishap(err):
		u.add(out.B, more+5)
	case in.Own.B.Held():
		u.stats["came back"]++
		u.add(in.Own.B, more)
	}
}

// step does one thing.
func (u *user) step() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch u.rng.IntN(9) {
	case 0:
		b, _ := u.take()
		b.Release()
	case 1:
		u.call(ctx, func(in freight) (haulage, error) { return haul.Call(ctx, u.p, in) })
	case 2:
		ctx, cancel := context.WithTimeout(ctx, time.Duration(u.rng.IntN(500))*time.Microsecond)
		defer cancel()
		u.call(ctx, func(in freight) (haulage, error) { return haul.Call(ctx, u.p, in) })
	case 3:
		u.call(ctx, func(in freight) (haulage, error) {
			fut, err := haul.Go(ctx, u.p, in)
			if err != nil {
				return haulage{}, err
			}
			if u.rng.IntN(2) == 0 {
				cancel()
			}
			return fut.Wait(context.Background())
		})
	case 4: // dropped
		in := freight{How: []string{"return", "keep", "freeze", "fail", "make, freeze"}[u.rng.IntN(5)], Tags: tags(u.rng.IntN(5000))}
		in.Own.B, _ = u.take()
		_, err := haul.Go(context.Background(), u.p, in)
		assert.NoError(u.t, err)
	case 5:
		n := 0
		for b, err := range haul.Map(ctx, u.p, u.freights(8)) {
			if n++; !u.mishap(err) {
				u.add(b.B, 5)
			}
			if u.rng.IntN(20) == 0 {
				break
			}
		}
	case 6:
		out, err := haul.Call(ctx, u.p, freight{How: "read", F: u.shared})
		if !u.mishap(err) {
			assert.Equal(u.t, 3*1000*999/2+1000, out.N)
		}
	case 7:
		out, err := haul.Call(ctx, u.p, freight{How: "make", Tags: tags(u.rng.IntN(20_000))})
		if !u.mishap(err) {
			u.add(out.B, 0)
		}
	case 8:
		n := u.rng.IntN(100_000)
		s, err := inPlace.Call(ctx, u.p, n)
		if !u.mishap(err) {
			assert.Len(u.t, s, n)
		}
	}
}

// freights yields arguments with new blocks, which the Map takes over.
func (u *user) freights(n int) func(func(freight) bool) {
	return func(yield func(freight) bool) {
		for range n {
			in := freight{How: "return"}
			in.Own.B = newWords(u.t, u.p, 500)
			if !yield(in) {
				return
			}
		}
	}
}

// Whatever is done with blocks, and whoever is killed: contents are right, and in the end nothing is left.
func TestBlockLedger(t *testing.T) {
	const users, steps, between = 4, 400, 12
	p := start(t, Options{Workers: 3, Queue: 32, Memory: 64 * mib})
	shared := newWords(t, p, 1000).Freeze()
	kills := make(chan struct{}, users*steps)
	var killers, wg sync.WaitGroup
	killers.Go(func() { killAtRandom(p, kills) })
	all := make([]map[string]int, users)
	for k := range users {
		u := &user{t: t, p: p, rng: rand.New(rand.NewPCG(uint64(k), rand.Uint64())), shared: shared, stats: map[string]int{}}
		all[k] = u.stats
		wg.Go(func() {
			for i := range steps {
				if i%between == 0 {
					kills <- struct{}{}
				}
				u.step()
			}
			for k, b := range u.blocks {
				requireWords(t, b.Slice(), b.Len(), u.more[k])
				b.Release()
			}
		})
	}
	wg.Wait()
	close(kills)
	killers.Wait()
	shared.Release()
	eventually(t, "dropped futures are collected", func() bool {
		runtime.GC()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reap()
		return p.home.blocks == 0 && p.outstanding == 0
	})
	requireNothingHeld(t, p)
	t.Logf("%v; %v", all, p.Stats())
	require.NoError(t, p.broken)
	require.NotZero(t, p.Stats().Deaths)
}
