package semaphore

import (
	"context"
	"fmt"
)

// join counts the caller in. If it is not the last, it returns the round that is to be awaited.
//
// The lock keeps the seat's mark in order: it is that of the latest round in which this handle waits, and rounds before
// have ended.
func (b *Barrier) join() (round *awaited, index int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, err := b.arrive()
	if err == nil && a.word.count() < b.parties-1 {
		round = b.enter(a)
		b.inside++
	}
	return round, a.word.count(), err
}

// exit is for one who joined, and has been told what became of its round.
func (b *Barrier) exit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inside--; b.inside == 0 {
		b.left.Broadcast()
	}
}

// arrive counts the caller in, and returns what was before.
func (b *Barrier) arrive() (arrival, error) {
	for {
		w := b.load()
		resets, ok := b.resetsAt(w)
		a := arrival{w, resets}
		switch {
		case w.broken():
			return a, ErrBroken
		case w.count() >= b.parties:
			return a, b.corrupted(w)
		case !ok && b.load() == w:
			return a, fmt.Errorf("wait at barrier: in epoch %d, after %d resets: %w", w.epoch(), b.body.resets.Load(), ErrCorrupted)
		case !ok:
			continue
		}
		// Killed from here on, in this round: whoever buries this process breaks it. The mark comes first, so that nobody can be
		// counted and not be known to wait.
		b.table.mine().count.Store(markOf(w)) // pairs with the load in bury
		if w.count() == b.parties-1 {
			if b.end(w, w.passed()) {
				return a, nil
			}
		} else if b.body.word.CompareAndSwap(uint64(w), uint64(w+1)) { // pairs with the load in load
			return a, nil
		}
	}
}

// enter returns a's round among those that are awaited here. The caller has the lock.
func (b *Barrier) enter(a arrival) *awaited {
	for _, r := range b.rounds {
		if r.sameRound(a) {
			return r
		}
	}
	r := &awaited{arrival: a, ended: make(chan struct{})}
	b.rounds = append(b.rounds, r)
	if len(b.rounds) == 1 {
		b.server.Go(func() { _, _ = b.queue.Wait(context.Background(), b.eventcount(), b.serve) })
	}
	return r
}

// await returns when the round has ended.
func (b *Barrier) await(ctx context.Context, r *awaited) error {
	select {
	case <-r.ended:
		return r.err
	case <-ctx.Done():
	}
	for {
		w := b.load()
		ended, err := b.fate(r.arrival)
		switch {
		case ended && err == ErrBroken:
			return ctx.Err()
		case ended:
			return err
		case w.round() == r.word.round() && b.end(w, w|brokenBit):
			return ctx.Err()
		}
	}
}

// serve tells those who wait here what became of their rounds, and reports whether nobody waits any more.
func (b *Barrier) serve() (done bool) {
	b.table.mind()
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := b.rounds[:0]
	for _, r := range b.rounds {
		ended, err := b.fate(r.arrival)
		if !ended {
			waiting = append(waiting, r)
			continue
		}
		r.err = err
		close(r.ended)
	}
	clear(b.rounds[len(waiting):])
	b.rounds = waiting
	return len(waiting) == 0
}

// fate returns what became of the round of a, in which somebody waits: whether it has ended, and then nil if it has passed.
func (b *Barrier) fate(a arrival) (ended bool, err error) {
	ended, err = b.outcome(a.word)
	if b.body.resets.Load()-a.resets > rememberedResets { // pairs with the compare-and-swap in raise
		return true, ErrBroken // forgotten
	}
	return ended, err // there were no more when the words were looked at, which tell so few apart
}

// outcome is fate by the words alone.
func (b *Barrier) outcome(r barrierWord) (ended bool, err error) {
	w := b.load()
	if w.epoch() != r.epoch() {
		w = barrierWord(b.body.ends[r.epoch()%rememberedResets].Load()) // pairs with the CAS in note, which was before that of the word
		if w.epoch() == r.epoch() && !w.broken() {
			return true, b.corrupted(w)
		}
	}
	switch {
	case w.epoch() != r.epoch(): // forgotten
		return true, ErrBroken
	case w.number() != r.number():
		return true, nil
	case w.broken():
		return true, ErrBroken
	case w.count() == 0 || w.count() >= b.parties:
		return true, b.corrupted(w)
	}
	return false, nil
}

func (b *Barrier) corrupted(w barrierWord) error {
	return fmt.Errorf("wait at barrier: %d of %d parties have arrived: %w", w.count(), b.parties, ErrCorrupted)
}
