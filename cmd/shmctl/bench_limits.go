package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/shm"
)

// The limits are what two processes can do at best on this machine: nothing but a loop on each side. Words that different sides write have lines to
// themselves.
const (
	pingAt  = 0               // stored by this process, loaded by the peer
	pongAt  = layout.Line     // the other way
	bellAt  = 2 * layout.Line // futex words, likewise
	replyAt = 3 * layout.Line
	itemsAt = 4 * layout.Line

	benchItems = 4096
	benchSize  = itemsAt + 8*benchItems

	leave = 1<<64 - 1 // as a ping: the peer ends
)

// A ground is the memory that both sides of a limit share.
type ground struct {
	seg         *shm.Segment
	ping, pong  *atomic.Uint64
	bell, reply *atomic.Uint32
	items       []uint64 // handed over by ping, and back by pong
}

func groundIn(seg *shm.Segment) *ground {
	mem := seg.Bytes()
	return &ground{seg, layout.MustAt[atomic.Uint64](mem, pingAt), layout.MustAt[atomic.Uint64](mem, pongAt), layout.MustAt[atomic.Uint32](mem, bellAt),
		layout.MustAt[atomic.Uint32](mem, replyAt), layout.MustSlice[uint64](mem, itemsAt, benchItems)}
}

// A peerOrder is what a peer does, and where.
type peerOrder struct {
	What   string
	Ground *shm.Segment
}

// peer is the other side of a limit. It ends when it is told to, or with this process.
var peer = process.Func("shmctl.bench.peer", func(_ context.Context, o peerOrder) error {
	g := groundIn(o.Ground)
	switch o.What {
	case "spin":
		g.answer()
	case "sleep":
		g.answerAsleep()
	case "take":
		g.take()
	}
	return nil
})

func (g *ground) answer() {
	for last := uint64(0); last != leave; {
		if p := g.ping.Load(); p != last { // pairs with the store in roundTrips
			last = p
			sys.ReleaseStore64(g.pong, p) // pairs with the load in await
			continue
		}
		sys.Pause(1)
	}
}

func (g *ground) answerAsleep() {
	for last := uint32(0); g.ping.Load() != leave; {
		if b := g.bell.Load(); b != last { // pairs with the store in ring
			last = b
			g.reply.Store(b) // pairs with the load in ring
			sys.FutexWake(g.reply, 1)
			continue
		}
		sys.FutexWait(g.bell, last, -1)
	}
}

func (g *ground) take() {
	for n, there := uint64(0), uint64(0); there != leave; {
		if n == there {
			if there = g.ping.Load(); n == there { // pairs with the store in handOver
				sys.Pause(8) // a look takes the line away from who writes it
			}
			continue
		}
		if g.items[n%benchItems] != n {
			panic("shmctl: wrong item")
		}
		n++
		sys.ReleaseStore64(g.pong, n) // pairs with the loads in handOver and await
	}
}

// against runs measure with a peer on the other side.
func against(ctx context.Context, what string, measure func(g *ground, lost func() error) (time.Duration, error)) (d time.Duration, err error) {
	seg, err := shm.New("bench", benchSize)
	if err != nil {
		return 0, err
	}
	defer seg.Close()
	p, err := peer.Start(process.Options{Env: []string{"GOMAXPROCS=2"}}, peerOrder{what, seg})
	if err != nil {
		return 0, err
	}
	g := groundIn(seg)
	defer func() {
		g.ping.Store(leave)
		g.bell.Add(1)
		sys.FutexWake(g.bell, 1)
		if e := p.Wait(context.WithoutCancel(ctx)); err == nil && e != nil {
			err = e
		}
	}()
	return measure(g, func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.Done():
			return errors.New("the other side of the measurement has ended")
		default:
			return nil
		}
	})
}

// await spins until word is n.
func await(word *atomic.Uint64, n uint64, lost func() error) error {
	for looks := 1; word.Load() != n; looks++ {
		sys.Pause(1)
		if looks%(1<<16) == 0 {
			if err := lost(); err != nil {
				return err
			}
			runtime.Gosched()
		}
	}
	return nil
}

// lineRoundTrip is the time in which a line of memory goes to another process and back, both of which spin.
func lineRoundTrip(ctx context.Context, _ *bench, length time.Duration) (time.Duration, error) {
	return against(ctx, "spin", func(g *ground, lost func() error) (time.Duration, error) {
		sys.ReleaseStore64(g.ping, 1)
		if err := await(g.pong, 1, lost); err != nil { // it is there
			return 0, err
		}
		n := uint64(1)
		return perTurn(length, func() error {
			n++
			sys.ReleaseStore64(g.ping, n) // pairs with the load in answer
			return await(g.pong, n, lost)
		})
	})
}

// handOver is the time of an item that goes to another process, each made known alone.
func handOver(ctx context.Context, _ *bench, length time.Duration) (time.Duration, error) {
	return against(ctx, "take", func(g *ground, lost func() error) (time.Duration, error) {
		n, taken := uint64(0), uint64(0)
		put := func() error {
			for looks := 1; n-taken == benchItems; looks++ {
				taken = g.pong.Load() // pairs with the store in take
				if looks%(1<<16) == 0 {
					if err := lost(); err != nil {
						return err
					}
				}
			}
			g.items[n%benchItems] = n
			n++
			sys.ReleaseStore64(g.ping, n) // pairs with the load in take
			return nil
		}
		if err := put(); err != nil {
			return 0, err
		}
		if err := await(g.pong, 1, lost); err != nil {
			return 0, err
		}
		d, err := perTurn(length, put)
		if err == nil {
			err = await(g.pong, n, lost) // what is still under way was not taken in that time: one array of it at most
		}
		return d, err
	})
}

// futexWake is the time in which a process that sleeps is woken, and wakes this one that sleeps, when nothing has happened for a while.
func futexWake(ctx context.Context, b *bench, _ time.Duration) (time.Duration, error) {
	return against(ctx, "sleep", func(g *ground, lost func() error) (time.Duration, error) {
		n := uint32(0)
		ring := func() error {
			n++
			g.bell.Store(n) // pairs with the load in answerAsleep
			sys.FutexWake(g.bell, 1)
			for g.reply.Load() != n { // pairs with the store in answerAsleep
				if sys.FutexWait(g.reply, n-1, time.Second) {
					if err := lost(); err != nil {
						return err
					}
				}
			}
			return nil
		}
		if err := ring(); err != nil {
			return 0, err
		}
		return b.afterQuiet(ctx, ring)
	})
}

// copying is the time in which as many bytes are copied as a block has.
func copying(_ context.Context, _ *bench, length time.Duration) (time.Duration, error) {
	from, to := make([]byte, blockBytes), make([]byte, blockBytes)
	for i := range from {
		from[i] = byte(i)
	}
	copy(to, from) // it has memory now
	d, err := perTurn(length, func() error {
		copy(to, from)
		return nil
	})
	if to[blockBytes-1] != from[blockBytes-1] {
		return 0, fmt.Errorf("the copy is wrong")
	}
	return d, err
}
