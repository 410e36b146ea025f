package semaphore

import (
	"context"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
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
	return s.queue.asleep
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

// AcquireHere is Acquire on a handle on which nobody waits and that has not enough permits: a test steps through it.
func (s *Semaphore) AcquireHere(n int64) {
	if err := s.acquireSlow(context.Background(), n); err != nil {
		panic(err)
	}
}

// SetSleepers has so few servers sleep alone, and the others in groups if grouped says so and they can, and returns what
// undoes it. Nobody sleeps meanwhile.
func SetSleepers(alone int64, grouped bool) (undo func()) {
	was := sleeping
	sleeping = &sleepers{alone: alone, canGroup: func() bool { return grouped && sys.CanFutexSet() }}
	return func() { sleeping = was }
}

// InGroups returns how many groups there have been, and how many sleep in them.
func InGroups() (groups, members int) {
	sleeping.mu.Lock()
	defer sleeping.mu.Unlock()
	for _, g := range sleeping.groups {
		members += len(g.members)
	}
	return len(sleeping.groups), members
}

// SleepGrouped is SleepAs in a group, without a name.
func (e Eventcount) SleepGrouped(ticket uint32, timeout time.Duration) (timedOut bool) {
	return sleeping.sleepGrouped(e, ticket, timeout)
}

// FewAlone is how many servers of a process sleep alone.
const FewAlone = fewAlone
