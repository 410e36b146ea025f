package semaphore_test

import (
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/semaphore"
)

// wraps are words at the start of life and just before the sequence wraps.
var wraps = map[string]uint32{"new": 0, "before wrap": math.MaxUint32 - 1}

func TestEventcountNotifyWithoutSleepersLeavesTheWordAlone(t *testing.T) {
	for name, start := range wraps {
		t.Run(name, func(t *testing.T) {
			var word atomic.Uint32
			word.Store(start)
			e := semaphore.EventcountOn(&word)
			e.Notify(1)
			e.NotifyAll()
			assert.Equal(t, start, word.Load())
		})
	}
}

func TestEventcountNobodyLeftClearsTheBit(t *testing.T) {
	for name, start := range wraps {
		t.Run(name, func(t *testing.T) {
			var word atomic.Uint32
			word.Store(start)
			e := semaphore.EventcountOn(&word)
			assert.Equal(t, start|1, e.Announce())
			assert.Equal(t, start|1, e.Announce(), "announcing twice is announcing once")
			e.NotifyAll()
			assert.Equal(t, start+2, word.Load())

			e.Announce()
			e.Notify(0)
			e.Notify(-1)
			assert.Equal(t, start+3, word.Load(), "nobody to wake: nothing done")
			e.Notify(1) // finds nobody: one step for the wake, one for the clearing
			assert.Equal(t, start+6, word.Load())
		})
	}
}

func TestEventcountStaleTicketDoesNotSleep(t *testing.T) {
	for name, start := range wraps {
		t.Run(name, func(t *testing.T) {
			var word atomic.Uint32
			word.Store(start)
			e := semaphore.EventcountOn(&word)
			for _, change := range []func(){e.NotifyAll, func() { e.Notify(1) }, func() { e.Kick(1) }} {
				ticket := e.Announce()
				change()
				assert.False(t, e.Sleep(ticket, watchdog), "must not sleep, let alone until the time is out")
				assert.False(t, e.SleepAs(ticket, watchdog, 1))
			}
		})
	}
}

func TestEventcountSleepTimesOut(t *testing.T) {
	var word atomic.Uint32
	e := semaphore.EventcountOn(&word)
	for name, sleep := range map[string]func(time.Duration) bool{
		"plain":   func(d time.Duration) bool { return e.Sleep(e.Announce(), d) },
		"by name": func(d time.Duration) bool { return e.SleepAs(e.Announce(), d, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			const d = 5 * time.Millisecond
			start := time.Now()
			for !sleep(d) { // a signal may end it early
				start = time.Now()
			}
			assert.GreaterOrEqual(t, time.Since(start), d)
		})
	}
}

// A kick ends the sleep of those whom it names.
func TestEventcountKick(t *testing.T) {
	var word atomic.Uint32
	e := semaphore.EventcountOn(&word)
	mine, other := make(chan bool, 1), make(chan bool, 1)
	ticket := e.Announce()
	go func() { mine <- e.SleepAs(ticket, watchdog, 0b01) }()
	go func() { other <- e.SleepAs(ticket, watchdog, 0b10) }()
	e.Kick(0b01)
	assert.False(t, recv(t, mine, "kicked"))
	e.NotifyAll()
	assert.False(t, recv(t, other, "notified"))
}

// A waker is killed between its two steps in NotifyAll: the mark is gone, and the sleeper sleeps on. Only Rouse knows of it.
func TestEventcountRouse(t *testing.T) {
	for name, start := range wraps {
		t.Run(name, func(t *testing.T) {
			var word atomic.Uint32
			word.Store(start)
			e := semaphore.EventcountOn(&word)
			awake := make(chan bool, 1)
			ticket := e.Announce()
			go func() {
				for word.Load() == ticket { // a signal may end the sleep
					e.Sleep(ticket, -1)
				}
				awake <- true
			}()
			e.Rouse() // it sleeps by now, or will not
			recv(t, awake, "the end of the sleep")
			assert.Equal(t, start+2, word.Load())

			unmarked := word.Load()
			go func() { awake <- e.Sleep(unmarked, -1) }()
			time.AfterFunc(time.Millisecond, func() {
				e.NotifyAll()
				e.Notify(1)
				assert.Equal(t, unmarked, word.Load(), "they see nobody")
				e.Rouse()
			})
			recv(t, awake, "the end of the sleep")
		})
	}
}

// Somebody announces itself and sleeps after Notify found nobody, and before it clears
// the bit: nobody would wake it any more, so the clearing does.
func TestEventcountClearingWakesWhoCameLate(t *testing.T) {
	var word atomic.Uint32
	e := semaphore.EventcountOn(&word)
	for range 300 {
		awake := make(chan struct{})
		ticket := e.Announce()
		go func() {
			e.Sleep(ticket, -1)
			close(awake)
		}()
		for range 100 { // time to fall asleep; whoever does not finds the word changed
			runtime.Gosched()
		}
		e.Clear(ticket)
		recv(t, awake, "the end of the sleep")
		require.Zero(t, word.Load()&1)
	}
}

// Items are published one by one; sleepers who never look without being told take
// each exactly once.
func TestEventcountNoWakeUpIsLost(t *testing.T) {
	for name, notify := range map[string]func(e semaphore.Eventcount){
		"Notify":    func(e semaphore.Eventcount) { e.Notify(1) },
		"NotifyAll": semaphore.Eventcount.NotifyAll,
	} {
		t.Run(name, func(t *testing.T) {
			const items, takers = 3000, 3
			var word atomic.Uint32
			word.Store(math.MaxUint32 - 201) // wraps on the way
			e := semaphore.EventcountOn(&word)
			var ready, taken atomic.Int64
			done := make(chan struct{}, takers)
			for range takers {
				go func() {
					for sleepingTake(e, &ready) {
						taken.Add(1)
					}
					done <- struct{}{}
				}()
			}
			for i := range items {
				ready.Add(1)
				notify(e)
				if i%7 == 0 { // let them fall asleep now and then
					until(t, "all taken", func() bool { return taken.Load() == int64(i+1) })
				}
			}
			until(t, "all taken", func() bool { return taken.Load() == items })
			ready.Store(math.MinInt64) // closed
			e.NotifyAll()
			for range takers {
				recv(t, done, "a taker's end")
			}
		})
	}
}

// sleepingTake takes one item, sleeping without a bound; false means closed.
func sleepingTake(e semaphore.Eventcount, ready *atomic.Int64) bool {
	for {
		ticket := e.Announce()
		for n := ready.Load(); n != 0; n = ready.Load() {
			if n < 0 {
				return false
			}
			if ready.CompareAndSwap(n, n-1) {
				return true
			}
		}
		e.Sleep(ticket, -1)
	}
}

func TestEventcountAt(t *testing.T) {
	mem := make([]byte, 8)
	e, err := semaphore.EventcountAt(mem)
	require.NoError(t, err)
	e.Announce()
	assert.Equal(t, []byte{1, 0, 0, 0, 0, 0, 0, 0}, mem)

	_, err = semaphore.EventcountAt(mem[:3])
	assert.ErrorContains(t, err, "3 bytes")
	_, err = semaphore.EventcountAt(mem[1:6])
	assert.ErrorContains(t, err, "aligned")
}
