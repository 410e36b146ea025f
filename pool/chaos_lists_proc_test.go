//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"iter"
	"time"
)

// A list is the chores of one Map.
type list struct {
	fates  []*fate
	seen   int
	stopAt int // after so many results it is broken off
}

func (c *customer) list(n int) *list {
	l := &list{stopAt: -1}
	if c.chance(2) {
		l.stopAt = c.rng.IntN(n)
	}
	tm := c.terms()
	for range n {
		f := c.chore(tm)
		f.item = true
		l.fates = append(l.fates, f)
	}
	return l
}

func (l *list) terms() terms { return l.fates[0].terms }

// chores yields them. Each may be accepted from then on.
func (l *list) chores() iter.Seq[chore] {
	return func(yield func(chore) bool) {
		for _, f := range l.fates {
			if !yield(f.chore) {
				return
			}
		}
	}
}

// take notes the next result, which is of the item at i, or the end of the Map. It reports whether there should be more.
func (c *customer) take(ctx context.Context, l *list, i int, did token, err error) (more bool) {
	if err != nil && err == ctx.Err() { // of the whole
		l.stopAt = l.seen
		return false
	}
	if i < 0 || i >= len(l.fates) || l.fates[i].issue != gotNothing {
		c.r.wrong("a Map of %d chores from %d on has a result for the one at %d too many", len(l.fates), l.fates[0].ID, i)
		return false
	}
	c.conclude(ctx, l.fates[i], did, err)
	l.seen++
	return l.seen != l.stopAt
}

// over is called when a Map has ended.
func (c *customer) over(ctx context.Context, l *list) {
	if l.seen != l.stopAt && l.seen < len(l.fates) {
		c.r.lose("a Map of %d chores from %d on has ended after %d; its context: %v", len(l.fates), l.fates[0].ID, l.seen, ctx.Err())
	}
}

func (c *customer) mapOrdered() {
	l := c.list(1 + c.some(9))
	ctx, cancel := l.terms().context()
	defer cancel()
	for did, err := range doSmall.With(l.terms().options...).Map(ctx, c.r.p, l.chores()) {
		if !c.take(ctx, l, l.seen, did, err) {
			break
		}
	}
	c.over(ctx, l)
}

func (c *customer) mapUnordered() {
	l := c.list(1 + c.some(9))
	ctx, cancel := l.terms().context()
	defer cancel()
	for got := range doSmall.With(l.terms().options...).MapUnordered(ctx, c.r.p, l.chores()) {
		if !c.take(ctx, l, got.Index, got.Out, got.Err) {
			break
		}
	}
	c.over(ctx, l)
}

// mapMoves gives each item a block, which is the Map's.
func (c *customer) mapMoves() {
	const words = 300
	l := c.list(1 + c.some(4))
	ctx, cancel := l.terms().context()
	defer cancel()
	xs := func(yield func(moveChore) bool) {
		for _, f := range l.fates {
			if !yield(moveChore{Do: f.chore, Own: c.newBlock(words)}) {
				return
			}
		}
	}
	for _, f := range l.fates {
		f.carried = true
	}
	for out, err := range doMove.With(l.terms().options...).Map(ctx, c.r.p, xs) {
		at := l.seen
		more := c.take(ctx, l, at, out.Did, err)
		if out.Own != nil {
			c.check(l.fates[at], out.Own.Slice(), words, 5)
			out.Own.Release()
		}
		if !more {
			break
		}
	}
	c.over(ctx, l)
}

// burst gives many ticks away before it waits for any.
func (c *customer) burst() {
	tm := c.terms()
	ctx, cancel := tm.context()
	defer cancel()
	fn := doTick.With(tm.options...)
	var fates []*fate
	var futures []*Future[token]
	for range min(uint64(16+c.some(8)), c.ticks-c.tick-1) {
		c.tick++
		f := &fate{chore: chore{ID: c.tick}, terms: tm, since: time.Now()}
		if c.chance(200) {
			f.Deed = quit + deed(c.rng.IntN(4))
		}
		c.fates = append(c.fates, f)
		fut, err := fn.Go(ctx, c.r.p, f.chore)
		if err != nil {
			c.conclude(ctx, f, token{}, err)
			f.issue = gotRefusal
			continue
		}
		f.sent = true
		fates, futures = append(fates, f), append(futures, fut)
	}
	for k, fut := range futures {
		did, err := fut.Wait(context.Background())
		c.conclude(ctx, fates[k], did, err)
	}
}
