package ring

import (
	"context"
	"sync/atomic"
)

// A turn is a mutex among goroutines of one process: who waits for it goes when its context ends, and those who wait are served in the
// order in which they came. Without contention each call is one atomic operation.
type turn struct {
	// users counts who has the turn, or is about to get it, and those who wait.
	users atomic.Int64
	// pass hands the turn over. Only who has it sends, so that there is never more than one token.
	pass chan struct{}
}

func newTurn() turn { return turn{pass: make(chan struct{}, 1)} }

// tryTake takes the turn if nobody has it.
func (t *turn) tryTake() bool { return t.users.CompareAndSwap(0, 1) }

// take takes the turn, or returns ctx's error and then has not.
func (t *turn) take(ctx context.Context) error {
	if t.users.Add(1) == 1 {
		return nil
	}
	select {
	case <-t.pass:
		return nil
	case <-ctx.Done():
	}
	if !t.leave() {
		<-t.pass // it is, or will be at once, this one's: nobody else is there to have it
		t.give()
	}
	return ctx.Err()
}

// leave takes back that one waits, as long as that is not the one to whom the turn falls.
func (t *turn) leave() bool {
	for {
		n := t.users.Load()
		if n == 1 {
			return false
		}
		if t.users.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// give gives the turn to the next, if somebody waits.
func (t *turn) give() {
	if t.users.Add(-1) > 0 {
		t.pass <- struct{}{}
	}
}
