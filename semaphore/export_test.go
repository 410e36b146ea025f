package semaphore

import (
	"reflect"
	"sync/atomic"
	"time"
)

// Unbounded makes the waiters of s sleep until they are woken, so that a lost wake-up
// hangs a test instead of costing it a Step.
func (s *Semaphore) Unbounded() { s.queue.step = -1 * time.Nanosecond }

// Waiters returns how many goroutines wait on this handle.
func (s *Semaphore) Waiters() int { return int(s.queue.waiters.Load()) }

// Asleep reports that the server of this handle sleeps, or is one step before it.
func (s *Semaphore) Asleep() bool {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.asleep != nil
}

// Single returns the word on which those sleep who want one permit.
func (s *Semaphore) Single() *atomic.Uint32 { return &s.body.single }

// Many returns the word on which those sleep who want more than one.
func (s *Semaphore) Many() *atomic.Uint32 { return &s.body.many }

// Free returns the word that counts the free permits.
func (s *Semaphore) Free() *atomic.Int64 { return &s.body.free }

// SleepAs and Kick give tests the sleep that can be ended by name.
func (e Eventcount) SleepAs(ticket uint32, timeout time.Duration, bits uint32) bool {
	return e.sleepAs(ticket, timeout, bits)
}

func (e Eventcount) Kick(bits uint32) { e.kick(bits) }

// Clear is the last part of Notify.
func (e Eventcount) Clear(w uint32) { e.clear(w) }

// BodyType is the type of a semaphore in shared memory.
var BodyType = reflect.TypeFor[body]()

// AcquireHere is Acquire on a handle on which nobody waits and that has not enough permits, with all that the server does for it done by
// the calling goroutine: a test steps through it.
func (s *Semaphore) AcquireHere(n int64) {
	q := &s.queue
	w := &waiter{on: s.eventcount(n), served: make(chan struct{}), try: func() bool {
		ok, _ := s.take(n)
		return ok
	}}
	q.mu.Lock()
	w.place = q.queue.PushBack(w)
	q.waiters.Add(1)
	q.serving = true
	q.mu.Unlock()
	q.serve()
}
