package semaphore

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

// A Once has something done once, by one of many processes: it is the sync.Once of several processes, for what can fail.
//
// One at a time does it. When it has succeeded nobody does it again, and [Once.Do] is one load from then on. When it
// fails, panics, or its process dies, the next does it: so what it does may have been begun before, and be there in part, or, if the process
// died after it and before it could say so, in whole. A process that is stopped while it does it is waited for.
//
// A Once value is one process's handle, made by [NewOnce], [NewOnceAt] or [AttachOnce]. All methods may be called by any
// number of goroutines; it must not be copied. The memory must stay mapped until [Once.Close] has returned.
//
// All that was done is seen by who returns from Do after it. Of those who wait when one fails, whoever comes first is the next; goroutines of one
// handle are not overtaken by later ones. Each who fails returns, so nobody is overtaken more often than others call Do.
type Once struct {
	body  *onceBody
	id    owner.ID
	home  home
	queue Waitqueue
	vigil vigil
	order atomic.Uint32  // for the race detector: its address, never its value
	waits sync.WaitGroup // calls that wait, or have waited and use the memory still
}

// NewOnce makes a once of which nothing is done yet, in memory that it shares with other small objects of this process, and returns a
// handle on it. The caller closes the handle. Child processes get it as a part of their arguments: see package process.
func NewOnce() (*Once, error) {
	o := new(Once)
	if err := o.home.settle("once", OnceSize, o.make); err != nil {
		return nil, err
	}
	return o, nil
}

// NewOnceAt makes a once in the first [OnceSize] bytes of mem and returns a handle on it. Nobody else may use those bytes yet; they must
// be aligned to 8 bytes, and better lie at the start of a cache line.
func NewOnceAt(mem []byte) (*Once, error) {
	o := new(Once)
	if err := o.make(mem); err != nil {
		return nil, err
	}
	return o, nil
}

// AttachOnce returns a handle on the once that NewOnceAt made at the start of mem, there or in another process.
func AttachOnce(mem []byte) (*Once, error) {
	o := new(Once)
	if err := o.attach(mem); err != nil {
		return nil, fmt.Errorf("attach once: %w", err)
	}
	return o, nil
}

func (o *Once) make(mem []byte) error {
	err := formatOnce(mem)
	if err == nil {
		err = o.attach(mem)
	}
	if err != nil {
		return fmt.Errorf("make once: %w", err)
	}
	return nil
}

func (o *Once) attach(mem []byte) (err error) {
	if err := sys.CheckFutex(); err != nil {
		return err
	}
	if o.body, err = joinOnce(mem); err != nil {
		return err
	}
	if o.id, err = owner.Self(); err != nil {
		return err
	}
	o.queue.init()
	o.vigil.init(o.changed().Rouse)
	return nil
}

// Share returns what another process needs to have the once, for [Once.Adopt]. Package process calls it. The error
// wraps [os.ErrInvalid] if the once is one of NewOnceAt or AttachOnce, whose memory is not its own.
func (o *Once) Share() (f *os.File, data []byte, ended func(), err error) {
	return o.home.share("once")
}

// Adopt makes o, which is new(Once), a handle on the once that was shared. f stays the caller's.
func (o *Once) Adopt(f *os.File, data []byte) error {
	return o.home.adopt("once", f, data, o.attach)
}

// Done reports whether it has been done.
func (o *Once) Done() bool { return o.body.word.Load() == onceDone }

// Do calls f, unless it was done before, and returns what f returns; if another does it just now, it waits for the outcome. It returns
// nil if it is done when it returns, by whomever; f's error, and then the next may do it; ctx's if that ends while another
// does it, or has ended before the call and it is not done; and an [ErrCorrupted].
//
// If f panics, or ends its goroutine, it has failed. An f that calls Do of the same once waits for itself.
func (o *Once) Do(ctx context.Context, f func() error) error {
	if o.body.word.Load() == onceDone { // pairs with the CAS in end
		sys.RaceAcquire(&o.order)
		return nil
	}
	return o.doSlow(ctx, f)
}

func (o *Once) doSlow(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.waits.Add(1)
	defer o.waits.Done()
	var done bool
	var failed error // written by the queue's server before it lets the waiter go
	served, err := o.queue.Wait(ctx, o.changed(), func() bool {
		var mine bool
		mine, done, failed = o.try()
		return mine || done || failed != nil
	})
	switch {
	case !served:
		return err
	case failed != nil:
		return failed
	case done:
		sys.RaceAcquire(&o.order)
		return nil
	case err != nil: // it became this one's turn as the context ended
		o.end(0)
		return err
	}
	return o.run(f)
}

// try makes this process the one that does it, if nobody does or has.
func (o *Once) try() (mine, done bool, err error) {
	for {
		w := o.body.word.Load() // pairs with the CAS in end
		id := owner.ID(w)
		switch {
		case w == onceDone:
			return false, true, nil
		case w != 0 && id.Pid() == 0:
			return false, false, fmt.Errorf("do once: its word is %#x: %w", w, ErrCorrupted)
		case w != 0 && (id == o.id || !o.vigil.ended(id)):
			return false, false, nil
		}
		// Killed from here on: the next sees that this process is dead, and does it.
		if o.body.word.CompareAndSwap(w, uint64(o.id)) {
			sys.RaceAcquire(&o.order)
			return true, false, nil
		}
	}
}

// run does it.
func (o *Once) run(f func() error) error {
	outcome := uint64(0)
	defer func() { o.end(outcome) }()
	err := f()
	if err == nil {
		outcome = onceDone
	}
	return err
}

// end says what came of it. Another may only have changed the word if it was written by who must not: then it stays.
func (o *Once) end(outcome uint64) {
	sys.RaceRelease(&o.order)
	// Killed before: it is not known to be done. Pairs with the loads in Do and try, and hands over what was done.
	o.body.word.CompareAndSwap(uint64(o.id), outcome)
	// Killed here: those who wait notice within Step.
	if outcome == onceDone {
		o.changed().NotifyAll()
	} else {
		o.changed().Notify(1)
	}
}

func (o *Once) changed() Eventcount { return EventcountOn(&o.body.changed) }

// Close gives the handle up and, unless it is the caller's, the memory. It waits until no goroutine waits on this handle any
// more. No other call may follow or be in progress, except one that waits. Other handles are not concerned.
func (o *Once) Close() error {
	o.waits.Wait()
	o.queue.Drain()
	o.vigil.close()
	return o.home.close("once")
}
