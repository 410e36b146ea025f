package shm_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// watch ends the test program, with all its stacks, if the test hangs.
func watch(t *testing.T) {
	timer := time.AfterFunc(30*time.Second, func() { panic(t.Name() + " hangs") })
	t.Cleanup(func() { timer.Stop() })
}

// Sizes as they are in programs: many small ones, and few that take most of the memory.
func TestArenaLogNormal(t *testing.T) {
	const size, most, median, sigma = 256 << 20, 128 << 20, 10e3, 2.2
	a := newArena(t, size)
	rnd := rand.New(rand.NewPCG(1, 2))
	var live []modelBlock
	held, large := int64(0), 0
	check := func() {
		st := a.Stats()
		requireSum(t, st)
		require.Equal(t, held, st.Blocks)
		require.Equal(t, len(live), st.Count)
	}
	free := func() {
		k := rnd.IntN(len(live))
		b := live[k]
		require.Equal(t, -1, unpainted(a.Bytes(b.Block), b.seed))
		require.True(t, a.Free(b.Block))
		held -= b.Cap
		live[k] = live[len(live)-1]
		live = live[:len(live)-1]
	}
	for i := range 5000 {
		n := min(int64(median*math.Exp(sigma*rnd.NormFloat64())), 32<<20)
		for held+n > most {
			free()
		}
		b, _, err := a.Alloc(n)
		require.NoError(t, err)
		if b.Cap > 1<<20 {
			large++
		}
		paint(a.Bytes(b), uint64(i))
		live = append(live, modelBlock{b, uint64(i)})
		held += b.Cap
		for len(live) > 0 && rnd.IntN(100) < 45 {
			free()
		}
		if i%20 == 0 {
			check()
		}
	}
	require.Greater(t, large, 20)
	require.NoError(t, a.Check())
	for len(live) > 0 {
		free()
	}
	check()
	requireEmpty(t, a)
}

// A party is one process of several, as goroutines play it.
type party struct {
	a     *shm.Arena
	has   func(shm.Block) bool
	self  shm.Holder
	rnd   *rand.Rand
	live  []modelBlock
	boxes []chan modelBlock // of all parties, who are holders from 1 on
}

func (p *party) play(ops int) error {
	for range ops {
		if err := p.step(); err != nil {
			return fmt.Errorf("holder %d: %w", p.self, err)
		}
	}
	return nil
}

func (p *party) step() error {
	switch op := p.rnd.IntN(10); {
	case op < 4 && len(p.live) < 64:
		b, _, err := p.a.Alloc(p.rnd.Int64N([]int64{1000, 40_000, 300_000}[p.rnd.IntN(3)]))
		if errors.Is(err, shm.ErrArenaFull) {
			return nil
		}
		if err != nil {
			return err
		}
		if !p.has(b) {
			return fmt.Errorf("%+v has no memory", b)
		}
		seed := p.rnd.Uint64()
		paint(p.a.Bytes(b), seed)
		p.live = append(p.live, modelBlock{b, seed})
	case op < 7 && len(p.live) > 0:
		return p.drop(p.rnd.IntN(len(p.live)))
	case op == 7 && len(p.live) > 0:
		return p.hand(p.rnd.IntN(len(p.live)))
	case op == 8:
		return p.receive()
	case op == 9 && p.rnd.IntN(10) == 0:
		p.a.Sweep()
		p.a.Trim()
	}
	return nil
}

// take removes block k from those that the party knows, and looks at it.
func (p *party) take(k int) (modelBlock, error) {
	b := p.live[k]
	p.live[k] = p.live[len(p.live)-1]
	p.live = p.live[:len(p.live)-1]
	if i := unpainted(p.a.Bytes(b.Block), b.seed); i >= 0 || !p.has(b.Block) {
		return b, fmt.Errorf("byte %d of %+v was overwritten, or it has lost its memory", i, b)
	}
	return b, nil
}

func (p *party) drop(k int) error {
	b, err := p.take(k)
	if err == nil && !p.a.Free(b.Block) {
		err = fmt.Errorf("%+v cannot be freed", b)
	}
	if p.a.Free(b.Block) {
		err = fmt.Errorf("%+v is freed twice", b)
	}
	return err
}

func (p *party) hand(k int) error {
	to := p.rnd.IntN(len(p.boxes))
	b, err := p.take(k)
	if err != nil {
		return err
	}
	if p.rnd.IntN(2) == 0 {
		if b.Block, _ = p.a.Freeze(b.Block); !b.Frozen() {
			return errors.New("a block cannot be frozen")
		}
	}
	given, ok := p.a.Give(b.Block, shm.Holder(to+1))
	if !ok || p.a.Free(b.Block) {
		return fmt.Errorf("%+v cannot be given, or freed afterwards", b)
	}
	select {
	case p.boxes[to] <- modelBlock{given, b.seed}:
		return nil
	default: // the box is full: nobody has it
		if !p.a.Free(given) {
			return fmt.Errorf("%+v was given and cannot be freed", given)
		}
		return nil
	}
}

func (p *party) receive() error {
	select {
	case b := <-p.boxes[p.self-1]:
		p.live = append(p.live, b)
	default:
	}
	return nil
}

// Four holders, with two goroutines each, and one who counts.
func TestArenaConcurrently(t *testing.T) {
	watch(t)
	const size, holders, ops = 16 << 20, 4, 4000
	for _, page := range []int64{4096, 2 * shm.UnitBytes} {
		mem := make([]byte, shm.ArenaSize(size, page))
		backing := newCountedBacking(size, page)
		var arenas []*shm.Arena
		boxes := make([]chan modelBlock, holders)
		for h := range holders {
			boxes[h] = make(chan modelBlock, 8)
			a, err := shm.OpenArena(mem, shm.Holder(h+1), backing)
			if h == 0 {
				a, err = shm.NewArena(mem, size, page, 1, backing)
			}
			require.NoError(t, err)
			arenas = append(arenas, a)
		}
		parties := make([]*party, 2*holders)
		errs := make([]error, len(parties))
		var players, counter sync.WaitGroup
		for i := range parties {
			parties[i] = &party{a: arenas[i/2], has: backing.has, self: shm.Holder(i/2 + 1), rnd: rand.New(rand.NewPCG(1, uint64(i))), boxes: boxes}
			players.Go(func() { errs[i] = parties[i].play(ops) })
		}
		done := make(chan struct{})
		counter.Go(func() {
			for {
				st := arenas[0].Stats()
				if st.Blocks+st.Slack+st.Free != st.Size {
					panic(fmt.Sprint("a count that does not add up: ", st))
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
		players.Wait()
		close(done)
		counter.Wait()
		for i, p := range parties {
			require.NoError(t, errs[i])
			for len(boxes[p.self-1]) > 0 {
				require.NoError(t, p.receive())
			}
			for len(p.live) > 0 {
				require.NoError(t, p.drop(0))
			}
		}
		requireEmpty(t, arenas...)
	}
}
