package main

import (
	"context"
	"fmt"
	"time"

	"github.com/shmkit/shmkit/pool"
)

const (
	blockBytes = 64 << 20
	inFlight   = 1024
)

var (
	benchSquare = pool.Func("shmctl.bench.square", func(_ context.Context, x int) (int, error) { return x * x, nil })
	benchTouch  = pool.Func("shmctl.bench.touch", func(_ context.Context, b *pool.Block[byte]) (*pool.Block[byte], error) {
		s := b.Slice()
		s[0]++
		s[len(s)-1]++
		return b, nil
	})
)

func (b *bench) call(ctx context.Context, i int) error {
	y, err := benchSquare.Call(ctx, b.pool, i)
	if err == nil && y != i*i {
		err = fmt.Errorf("the square of %d came back as %d", i, y)
	}
	return err
}

// roundTrip is the time of a Call, one after the other.
func roundTrip(ctx context.Context, b *bench, length time.Duration) (time.Duration, error) {
	n := 0
	return perTurn(length, func() error {
		n++
		return b.call(ctx, n)
	})
}

// streaming is the time of a task when many are outstanding.
func streaming(ctx context.Context, b *bench, length time.Duration) (time.Duration, error) {
	var futures [inFlight]*pool.Future[int]
	n := 0
	d, err := perTurn(length, func() (err error) {
		at := &futures[n%inFlight]
		if *at != nil {
			if _, err := (*at).Wait(ctx); err != nil {
				return err
			}
		}
		*at, err = benchSquare.Go(ctx, b.pool, n)
		n++
		return err
	})
	for _, f := range futures {
		if f != nil && err == nil {
			_, err = f.Wait(ctx)
		}
	}
	return d, err
}

// coldCall is the time of a Call when nothing has happened for a while.
func coldCall(ctx context.Context, b *bench, _ time.Duration) (time.Duration, error) {
	n := 0
	return b.afterQuiet(ctx, func() error {
		n++
		return b.call(ctx, n)
	})
}

// blockThereAndBack is the time in which a block goes to a worker, which changes both ends, and comes back.
func blockThereAndBack(ctx context.Context, b *bench, length time.Duration) (time.Duration, error) {
	block, err := pool.NewBlock[byte](ctx, b.pool, blockBytes)
	if err != nil {
		return 0, err
	}
	s := block.Slice()
	s[0], s[blockBytes-1] = 0, 0
	n := byte(0)
	d, err := perTurn(length, func() (err error) {
		n++
		if block, err = benchTouch.Call(ctx, b.pool, block); err != nil {
			return err
		}
		if s := block.Slice(); s[0] != n || s[blockBytes-1] != n {
			return fmt.Errorf("the ends of the block are %d and %d, not %d", s[0], s[blockBytes-1], n)
		}
		return nil
	})
	if err == nil {
		block.Release()
	}
	return d, err
}
