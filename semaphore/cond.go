package semaphore

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/sys"
)

// A Cond is a sync.Cond of several processes: who holds a [Mutex] and finds that what it guards is not as it must be waits
// here for another to change that. As there, a loop around Wait asks again; [Cond.WaitFor] is that loop.
//
// A Cond value is one process's handle, made by [NewCond], [NewCondAt] or [AttachCond]. All methods may be called by any number of
// goroutines; it must not be copied. There can be [Seats] handles at a time, and 1,048,575 waiters on each.
//
// # Who is signalled
//
// Who calls Wait waits from before the lock is unlocked until it was signalled, or its context has ended; a signal is for those who wait
// at that moment, and never for one who comes later. [Cond.Signal] is for one of them, [Cond.Notify] for exactly as
// many as it says, or all if they are fewer, [Cond.Broadcast] for all. Nobody need hold the lock for that. But only who
// does knows that nobody begins to wait meanwhile, of whom it is open then whether Notify and Broadcast meant them.
//
// A waiter whose context ends takes no signal along: it is nobody who waits any more, or was signalled, and Wait returns nil.
//
// The lock is not part of this: who was signalled takes it like everybody else, and others may have had it before.
//
// # Fairness
//
// Goroutines of one handle are signalled in the order in which they began to wait. Signals go to the handles by turns: as long as K
// handles wait, each has one of any K signals that come one after the other. So a waiter with N before it on its handle is signalled, at
// the latest, by the K × (N+1)th signal.
//
// # Deaths
//
// Who dies waiting is not counted any more as soon as the system has told of it. If it was signalled, and is dead before it has the lock
// again, the signal goes to others who wait then. The processes that wait see to that, each for itself, so that more may be woken than
// were signalled; none is lost. A process that is merely stopped keeps its signal.
//
// One who dies between the change and the signal has signalled nobody. If it held the lock, the next who locks it is told so by
// [ErrOwnerDied], and had better call Broadcast. One who dies within Notify or Broadcast has signalled some.
type Cond struct {
	// L is held by who calls Wait, and while what is waited for is looked at or changed. A Cond that came as a part of an argument
	// has none yet: set it, to the Mutex that came along, before the first Wait.
	L *Mutex

	body  *condBody
	home  home
	seat  table
	queue Waitqueue
	waits sync.WaitGroup // calls that wait
	order atomic.Uint32  // for the race detector: its address, never its value

	mu    sync.Mutex
	going uint64 // of those who are signalled, how many goroutines know it: they are about to lock L
}

// NewCond makes a condition variable for what m guards, in memory that it shares with other small objects of this process, and returns a handle on
// it. The caller closes the handle. Child processes get both as parts of their arguments: see package process, and [Cond.L].
func NewCond(m *Mutex) (*Cond, error) {
	c := &Cond{L: m}
	if err := c.home.settle("condition variable", CondSize, c.make); err != nil {
		return nil, err
	}
	return c, nil
}

// NewCondAt makes a condition variable for what m guards in the first [CondSize] bytes of mem and returns a handle on it. Nobody else may
// use those bytes yet; they must be aligned to 8 bytes, and better lie at the start of a cache line.
func NewCondAt(mem []byte, m *Mutex) (*Cond, error) {
	c := &Cond{L: m}
	if err := c.make(mem); err != nil {
		return nil, err
	}
	return c, nil
}

// AttachCond returns a handle on the condition variable that NewCondAt made at the start of mem, there or in another process. m is a
// handle on the same mutex. The error wraps [ErrNoSeat] if there are as many handles as there can be.
func AttachCond(mem []byte, m *Mutex) (*Cond, error) {
	c := &Cond{L: m}
	if err := c.attach(mem); err != nil {
		return nil, fmt.Errorf("attach condition variable: %w", err)
	}
	return c, nil
}

func (c *Cond) make(mem []byte) error {
	err := formatCond(mem)
	if err == nil {
		err = c.attach(mem)
	}
	if err != nil {
		return fmt.Errorf("make condition variable: %w", err)
	}
	return nil
}

func (c *Cond) attach(mem []byte) (err error) {
	if err := sys.CheckFutex(); err != nil {
		return err
	}
	if c.body, err = joinCond(mem); err != nil {
		return err
	}
	c.queue.init()
	if err := c.seat.join(&c.body.roll, c.bury); err != nil {
		return err
	}
	for p := c.place(); ; {
		if t := p.load(); p.swap(t, t.with(0, 0)) { // as who was here before has left it, unless somebody wrote where he must not
			break
		}
	}
	// Killed before it is raised: nobody has waited in this place yet.
	for top := c.body.top.Load(); top <= uint32(c.seat.self); top = c.body.top.Load() {
		c.body.top.CompareAndSwap(top, uint32(c.seat.self)+1) // pairs with the load in used
	}
	return nil
}

// Share returns what another process needs to have the condition variable, for [Cond.Adopt]. Package process calls it. The error wraps
// [os.ErrInvalid] if its memory is the caller's.
func (c *Cond) Share() (f *os.File, data []byte, ended func(), err error) {
	return c.home.share("condition variable")
}

// Adopt makes c, which is new(Cond), a handle on the condition variable that was shared, without L. f stays the caller's.
func (c *Cond) Adopt(f *os.File, data []byte) error {
	return c.home.adopt("condition variable", f, data, c.attach)
}

// Wait unlocks L, waits until it is signalled or ctx has ended, and locks L again, however long that takes. It panics if this process
// does not hold L. It returns
//
//   - nil: it was signalled;
//   - ctx.Err(): it was not. If ctx had ended before the call, L was not even unlocked;
//   - an error that wraps [ErrOwnerDied], alone or with ctx.Err(): as for [Mutex.Lock].
//
// In all of these the caller holds L, as it does if there are too many waiters, which is an error at once. Only with an
// [ErrCorrupted] it may not.
func (c *Cond) Wait(ctx context.Context) error {
	c.mustHold()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.begin(); err != nil {
		return err
	}
	c.waits.Add(1)
	defer c.waits.Done()
	err := c.wait(ctx)
	// Killed while it waits for the lock: its signal is still in the tally, and goes to others.
	lockErr := c.L.Lock(context.WithoutCancel(ctx))
	if err == nil {
		c.finish()
	}
	sys.RaceAcquire(&c.order)
	return joined(err, lockErr)
}

// wait is Wait for one who is counted, up to the second lock. With nil it was signalled, and calls finish once it has that.
func (c *Cond) wait(ctx context.Context) error {
	var failed error // written by the queue's server before it closes the waiter's channel
	w := &waiter{on: c.bell(c.seat.self), try: func() bool {
		var ok bool
		ok, failed = c.take()
		return ok || failed != nil
	}}
	serves := c.queue.join(w) // before others can have the lock, so that those of a handle keep their order
	unlocked := false
	defer func() {
		if !unlocked { // it panics
			c.quit(w, serves)
		}
	}()
	// Killed here: the lock is a dead process's, and who waits no more is one who dies waiting.
	c.L.Unlock()
	unlocked = true
	served, err := c.queue.stay(ctx, w, serves)
	if served {
		return failed
	}
	if signalled, failed := c.leave(); signalled || failed != nil {
		return failed
	}
	return err
}

// quit takes one who has joined, and does not stay, out of the queue, and out of the count.
func (c *Cond) quit(w *waiter, serves bool) {
	if !c.queue.leave(w) { // it has the service, which it must pass on, or was signalled
		_, _ = c.queue.stay(context.Background(), w, serves)
	}
	if w.served {
		c.finish()
		c.Signal()
		return
	}
	if signalled, _ := c.leave(); signalled {
		c.finish()
		c.Signal()
	}
}

// joined is errors.Join for two of which one is nil more often than not.
func joined(a, b error) error {
	switch {
	case b == nil:
		return a
	case a == nil:
		return b
	}
	return fmt.Errorf("%w, %w", a, b)
}

// WaitFor waits until pred returns true: it asks, with L held, and waits as long as that says no. It returns nil, or the error of a
// [Cond.Wait]; in both cases the caller holds L, as there. It does not ask again then.
func (c *Cond) WaitFor(ctx context.Context, pred func() bool) error {
	c.mustHold()
	for !pred() {
		if err := c.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cond) mustHold() {
	if c.L == nil {
		panic("semaphore: Wait on a Cond without a Mutex: set its field L")
	}
	if l := &c.L.lock; l.words.word.Load()&^claimed != uint64(l.id) { // own process's: nobody else writes it there
		panic("semaphore: Wait on a Cond whose Mutex this process does not hold")
	}
}

// Close gives the handle up and, unless it is the caller's, the memory. It waits until no goroutine waits on this handle any more. No
// other call may follow or be in progress, except one that waits. L and other handles are not concerned.
func (c *Cond) Close() error {
	c.waits.Wait()
	c.queue.Drain()
	err := c.seat.leave()
	return joined(err, c.home.close("condition variable"))
}
