package semaphore

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/sys"
)

// eventLooks is how often Wait looks, with the shortest pause, before it joins those who sleep: for an answer that comes at once.
const eventLooks = 64

// An Event is a flag in shared memory that is set or not, and for which others wait. It is the threading.Event of several
// processes: it stays set until somebody clears it, and lets all pass meanwhile.
//
// An Event value is one process's handle, made by [NewEvent], [NewEventAt] or [AttachEvent]. All methods may be called by any number
// of goroutines; it must not be copied. The memory must stay mapped until [Event.Close] has returned.
//
// Nobody owns an event: a process that dies leaves it as it is. Nobody overtakes anybody either, since a Set lets all go.
//
// All that happened before a Set is seen by those whom that Set lets go, and by whoever clears the event after it.
type Event struct {
	body  *eventBody
	home  home
	queue Waitqueue
	waits sync.WaitGroup // calls that wait, or are about to
	order atomic.Uint32  // for the race detector: its address, never its value
}

// NewEvent makes an event that is not set, in memory that it shares with other small objects of this process, and returns
// a handle on it. The caller closes the handle. Child processes get it as a part of their arguments: see package process.
func NewEvent() (*Event, error) {
	e := new(Event)
	if err := e.home.settle("event", EventSize, e.make); err != nil {
		return nil, err
	}
	return e, nil
}

// NewEventAt makes an event that is not set in the first [EventSize] bytes of mem and returns a handle on it. Nobody else
// may use those bytes yet; they must be aligned to 8 bytes, and better lie at the start of a cache line.
func NewEventAt(mem []byte) (*Event, error) {
	e := new(Event)
	if err := e.make(mem); err != nil {
		return nil, err
	}
	return e, nil
}

// AttachEvent returns a handle on the event that NewEventAt made at the start of mem, there or in another process.
func AttachEvent(mem []byte) (*Event, error) {
	e := new(Event)
	if err := e.attach(mem); err != nil {
		return nil, fmt.Errorf("attach event: %w", err)
	}
	return e, nil
}

func (e *Event) make(mem []byte) error {
	err := formatEvent(mem)
	if err == nil {
		err = e.attach(mem)
	}
	if err != nil {
		return fmt.Errorf("make event: %w", err)
	}
	return nil
}

func (e *Event) attach(mem []byte) error {
	if err := sys.CheckFutex(); err != nil {
		return err
	}
	b, err := joinEvent(mem)
	if err != nil {
		return err
	}
	e.body = b
	e.queue.init()
	return nil
}

// Share returns what another process needs to have the event, for [Event.Adopt]. Package process calls it. The
// error wraps [os.ErrInvalid] if the event is one of NewEventAt or AttachEvent, whose memory is not its own.
func (e *Event) Share() (f *os.File, data []byte, ended func(), err error) {
	return e.home.share("event")
}

// Adopt makes e, which is new(Event), a handle on the event that was shared. f stays the caller's.
func (e *Event) Adopt(f *os.File, data []byte) error {
	return e.home.adopt("event", f, data, e.attach)
}

// Set sets the event, if it is not, and lets all go who wait: also if it is cleared again before they have looked.
func (e *Event) Set() {
	sys.RaceRelease(&e.order)
	// Also if it is set already: what happened before must be visible to who clears it next, and only a
	// read-modify-write is ordered before what follows that Clear. Pairs with passed, IsSet and Clear. It is
	// also the change that the eventcount's protocol asks for.
	e.body.state.Or(isSet)
	// Killed here: the event is set, and sleepers notice within Step.
	e.eventcount().NotifyAll()
}

// Clear has those who come from now on wait, until the next Set.
func (e *Event) Clear() {
	for {
		was := e.body.state.Load()
		// Killed before the CAS: it is set. After it: it is not, and there is nothing more to do.
		if was&isSet == 0 || e.body.state.CompareAndSwap(was, was&^isSet+oneClear) { // pairs with Set
			sys.RaceAcquire(&e.order)
			return
		}
	}
}

// IsSet reports whether the event was set a moment ago.
func (e *Event) IsSet() bool {
	if e.body.state.Load()&isSet == 0 { // pairs with the CAS in Set
		return false
	}
	sys.RaceAcquire(&e.order)
	return true
}

// Wait returns nil as soon as the event is set, or was set while it waited, however briefly; or ctx.Err() if ctx has ended
// first, even before the call.
func (e *Event) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	was := e.body.state.Load() // pairs with the CAS in Set
	if was&isSet == 0 {
		if err := e.wait(ctx, was); err != nil {
			return err
		}
	}
	sys.RaceAcquire(&e.order)
	return nil
}

// wait waits until the event is set, or was since its word was was.
func (e *Event) wait(ctx context.Context, was uint64) error {
	e.waits.Add(1)
	defer e.waits.Done()
	if e.look(was) {
		return nil
	}
	w := &waiter{on: e.eventcount(), try: func() bool { return e.passed(was) }}
	serves := e.queue.join(w)
	// Those who are before it in the queue may wait for a later Set, if there was one between its look at the word and its arrival. From
	// now on what lets it go lets them go.
	if !serves && e.passed(was) {
		if !e.queue.leave(w) { // it is its turn, which it must pass on
			_, _ = e.queue.stay(ctx, w, false)
		}
		return nil
	}
	if served, err := e.queue.stay(ctx, w, serves); !served {
		return err
	}
	return nil
}

// passed reports whether the event is set, or was since its word was was.
func (e *Event) passed(was uint64) bool {
	now := e.body.state.Load() // pairs with the CAS in Set
	return now&isSet != 0 || now/oneClear != was/oneClear
}

// look is a short wait for who is running, unless others of this process sleep already, or there is no processor for both.
func (e *Event) look(was uint64) bool {
	if !e.queue.Idle() || runtime.GOMAXPROCS(0) == 1 {
		return false
	}
	for range eventLooks {
		sys.Pause(1)
		if e.passed(was) {
			return true
		}
	}
	return false
}

func (e *Event) eventcount() Eventcount { return EventcountOn(&e.body.bell) }

// Close gives the handle up and, unless it is the caller's, the memory. It waits until no
// goroutine waits on this handle any more, and until the one that served them has ended.
// No other call may follow or be in progress, except one that waits. Other handles are not concerned.
func (e *Event) Close() error {
	e.waits.Wait()
	e.queue.Drain()
	return e.home.close("event")
}
