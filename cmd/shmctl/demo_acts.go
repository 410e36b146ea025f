package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// What the tasks of the demo do.
var (
	demoHash = pool.Func("demo.hash", func(_ context.Context, rounds int) ([32]byte, error) {
		var sum [32]byte
		for range rounds {
			sum = sha256.Sum256(sum[:])
		}
		return sum, nil
	})
	demoAdd   = pool.Func("demo.add", func(_ context.Context, n [2]int) (int, error) { return n[0] + n[1], nil })
	demoFetch = pool.Func("demo.fetch", func(ctx context.Context, wait time.Duration) (int, error) {
		select {
		case <-time.After(wait):
			return int(wait), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	demoPaint = pool.Func("demo.paint", func(_ context.Context, n int) ([]byte, error) {
		picture := make([]byte, n)
		for i := range picture {
			picture[i] = byte(i)
		}
		return picture, nil
	})
	demoParse = pool.Func("demo.parse", func(_ context.Context, n int) (int, error) {
		switch {
		case n%7 == 0:
			return 0, errors.New("unexpected end of input")
		case n%31 == 0:
			return 0, fmt.Errorf("value out of range")
		}
		return n, nil
	})
	demoCrash = pool.Func("demo.crash", func(context.Context, int) (int, error) {
		os.Exit(3)
		return 0, nil
	})
)

// Each act calls one kind of task until its context ends. Their errors are what the demo shows.
var demoActs = []func(context.Context, *pool.Pool){
	func(ctx context.Context, p *pool.Pool) {
		now(ctx, func() { _, _ = demoAdd.Call(ctx, p, [2]int{rand.Int(), 1}) })
	},
	func(ctx context.Context, p *pool.Pool) {
		every(ctx, 5*time.Millisecond, func() { go demoHash.Call(ctx, p, rand.IntN(20_000)) })
	},
	func(ctx context.Context, p *pool.Pool) {
		every(ctx, 100*time.Millisecond, func() { go demoFetch.Call(ctx, p, time.Duration(rand.IntN(100))*time.Millisecond) })
	},
	func(ctx context.Context, p *pool.Pool) {
		every(ctx, 50*time.Millisecond, func() { go demoPaint.Call(ctx, p, 1+rand.IntN(1<<20)) })
	},
	func(ctx context.Context, p *pool.Pool) {
		every(ctx, 20*time.Millisecond, func() { go demoParse.Call(ctx, p, rand.IntN(1000)) })
	},
	func(ctx context.Context, p *pool.Pool) {
		every(ctx, 4*time.Second, func() { go demoCrash.Call(ctx, p, 0) })
	},
	func(ctx context.Context, p *pool.Pool) {
		every(ctx, 7*time.Second, func() { go demoFetch.Call(ctx, p, time.Hour) }) // until its time is up
	},
}

func now(ctx context.Context, act func()) {
	for ctx.Err() == nil {
		act()
	}
}

func every(ctx context.Context, d time.Duration, act func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			act()
		}
	}
}
