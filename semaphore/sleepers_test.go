package semaphore_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/semaphore"
)

// inGroups has all servers sleep in groups until the end of the test, where the kernel lets them.
func inGroups(t *testing.T) { t.Cleanup(semaphore.SetSleepers(0, true)) }

// What holds for waiters holds for those who sleep in groups.
func TestInGroups(t *testing.T) {
	inGroups(t)
	for name, test := range map[string]func(*testing.T){
		"cancel":          TestCancelEndsTheWaitAndTheServer,
		"cancelled first": TestCancelledFirstMakesRoomForTheNext,
		"order":           TestWaitersOfAHandleAreServedInOrder,
		"many":            TestReleaseOfManyWakesMany,
		"less":            TestWhoWantsLessIsToldToo,
		"close":           TestCloseWaitsForTheServer,
		"storm":           TestStormLosesNothing,
		"passing on":      TestWakeUpOfOneWhoLeavesIsPassedOn,
	} {
		t.Run(name, test)
	}
	groups, members := semaphore.InGroups()
	assert.Equal(t, sys.CanFutexSet(), groups > 0)
	assert.Zero(t, members)
}

// More sleep than one call of the kernel's takes, and each is woken alone, the last first.
func TestMoreSleepersThanAGroupHas(t *testing.T) {
	inGroups(t)
	const n = 2*sys.MaxFutexes + 10
	var all [n]*semaphore.Semaphore
	var done [n]<-chan error
	for i := range all {
		all[i] = newSemaphore(t, 1, 1)[0]
		all[i].Unbounded()
		require.True(t, all[i].TryAcquire(1))
		done[i] = acquire(watched(t), all[i], 1)
	}
	if sys.CanFutexSet() {
		until(t, "all sleep", func() bool { _, members := semaphore.InGroups(); return members == n })
		groups, _ := semaphore.InGroups()
		assert.Equal(t, 3, groups)
	}
	for i := n - 1; i >= 0; i-- {
		until(t, "it sleeps", all[i].Asleep)
		all[i].Release(1)
		require.NoError(t, recv(t, done[i], "a permit"))
	}
	for _, s := range all {
		require.NoError(t, s.Close())
	}
	_, members := semaphore.InGroups()
	assert.Zero(t, members)
}

// A sleep in a group ends when its own time is over, not before, and not when another's is; and then nobody has woken it.
func TestTimesOfAGroup(t *testing.T) {
	if !sys.CanFutexSet() { // nobody sleeps so
		return
	}
	inGroups(t)
	var words [3]atomic.Uint32
	ends := make(chan int, len(words))
	times := [...]time.Duration{40 * time.Millisecond, -1, 10 * time.Millisecond}
	for i, timeout := range times {
		e := semaphore.EventcountOn(&words[i])
		ticket := e.Announce()
		begun := time.Now()
		go func() {
			assert.Equal(t, timeout >= 0, e.SleepGrouped(ticket, timeout), "sleep %d", i)
			assert.GreaterOrEqual(t, time.Since(begun), timeout)
			ends <- i
		}()
		until(t, "it sleeps, or did", func() bool { _, members := semaphore.InGroups(); return members > 0 || len(ends) > 0 })
	}
	assert.NotEqual(t, 1, recv(t, ends, "an end"))
	assert.NotEqual(t, 1, recv(t, ends, "an end"))
	semaphore.EventcountOn(&words[1]).Notify(1)
	assert.Equal(t, 1, recv(t, ends, "the last end"))
}

// All that wakes, wakes one in a group, as it wakes one that sleeps alone.
func TestWhatWakesAGroup(t *testing.T) {
	if !sys.CanFutexSet() { // nobody sleeps so
		return
	}
	inGroups(t)
	for name, wake := range map[string]func(e semaphore.Eventcount){
		"Notify":    func(e semaphore.Eventcount) { e.Notify(1) },
		"NotifyAll": semaphore.Eventcount.NotifyAll,
		"Rouse":     semaphore.Eventcount.Rouse,
		"Kick":      func(e semaphore.Eventcount) { e.Kick(1 << 7) },
	} {
		t.Run(name, func(t *testing.T) {
			var word, other atomic.Uint32
			e, bystander := semaphore.EventcountOn(&word), semaphore.EventcountOn(&other)
			stays := make(chan bool, 1)
			go func() { stays <- bystander.SleepGrouped(bystander.Announce(), -1) }()
			for range 50 { // found asleep, or just before it
				ends := make(chan bool, 1)
				ticket := e.Announce()
				go func() { ends <- e.SleepGrouped(ticket, -1) }()
				wake(e)
				assert.False(t, recv(t, ends, "a wake-up"))
			}
			assert.Empty(t, stays)
			until(t, "the bystander sleeps", func() bool { _, members := semaphore.InGroups(); return members == 1 })
			bystander.Rouse()
			assert.False(t, recv(t, stays, "the bystander's wake-up"))
		})
	}
}

// gather has goroutines wait on objects, says so, and then serves them all.
func gather(objects, goroutines int, alone bool) error {
	if alone {
		semaphore.SetSleepers(math.MaxInt64, false)
	}
	all := make([]*semaphore.Semaphore, objects)
	for i := range all {
		var err error
		if all[i], err = semaphore.NewAt(make([]byte, semaphore.Size), 1); err != nil {
			return err
		}
		all[i].TryAcquire(1)
	}
	var failed atomic.Int64
	var served sync.WaitGroup
	for g := range goroutines {
		s := all[g%objects]
		served.Go(func() {
			if s.Acquire(context.Background(), 1) != nil {
				failed.Add(1)
			}
			s.Release(1)
		})
	}
	for _, s := range all {
		for s.Waiters() < goroutines/objects || !s.Asleep() {
			<-time.After(time.Millisecond)
		}
	}
	<-time.After(3 * semaphore.Step) // some look for themselves, and sleep again
	fmt.Println("gathered")
	for _, s := range all {
		s.Release(1)
	}
	served.Wait()
	if n := failed.Load(); n > 0 {
		return fmt.Errorf("%d were not served", n)
	}
	return nil
}
