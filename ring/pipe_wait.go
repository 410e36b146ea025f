package ring

import (
	"context"
	"runtime"
	"time"

	"github.com/shmkit/shmkit/internal/backoff"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/semaphore"
)

// pipeSpin is how long an end looks before it sleeps: less than a sleep and a wake-up cost.
const pipeSpin = 20 * time.Microsecond

// quickLooks is how often it looks with the shortest pause first, for an answer that comes at once.
const quickLooks = 64

// await calls try until it has succeeded, or failed. Else it returns why the handle cannot be used any more, or ctx's error. on is
// notified after every change that may let try succeed. The caller has the turn.
//
// It sleeps in the kernel itself, at the cost of a thread, for the one goroutine whose turn it is; all others wait for the turn. Unlike a
// semaphore.Waitqueue it may sleep without a bound.
func (e *PipeEnd) await(ctx context.Context, on semaphore.Eventcount, try func() (bool, error)) error {
	if runtime.GOMAXPROCS(0) > 1 { // else spinning keeps those from running who could give what is waited for
		if ok, err := e.spin(try); ok || err != nil {
			return err
		}
	}
	return e.sleep(ctx, on, try)
}

func (e *PipeEnd) spin(try func() (bool, error)) (ok bool, err error) {
	for range quickLooks {
		sys.Pause(1)
		if ok, err = e.attempt(try); ok || err != nil {
			return ok, err
		}
	}
	for spin := backoff.For(pipeSpin); spin.Once(); {
		if ok, err = e.attempt(try); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (e *PipeEnd) attempt(try func() (bool, error)) (bool, error) {
	if err := e.usable(); err != nil { // pairs with the CAS in Close, which rings afterwards
		return false, err
	}
	return try()
}

// sleep is await without the spin.
func (e *PipeEnd) sleep(ctx context.Context, on semaphore.Eventcount, try func() (bool, error)) error {
	runtime.Gosched() // who could give what is waited for may be runnable right here
	defer e.kickWhen(ctx, on)()
	for {
		ticket := on.Announce()
		if ok, err := e.attempt(try); ok || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// Killed here: the mark in the word stays, and costs the next waker two system calls.
		on.Sleep(ticket, e.patience())
		if ok, err := e.attempt(try); ok || err != nil { // before a new mark, which would stay likewise
			return err
		}
	}
}

// kickWhen has who sleeps on look again when ctx ends.
func (e *PipeEnd) kickWhen(ctx context.Context, on semaphore.Eventcount) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	forget := context.AfterFunc(ctx, func() { e.kick(on) })
	return func() { forget() }
}
