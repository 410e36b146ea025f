package pool

import (
	"math/bits"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/sys"
)

// A crowd is the workers of a pool as those who have work for them see it.
//
// A worker without work spins for a short while, and then sleeps on its own futex word. The
// protocol that loses no wake-up:
//
//	waker                              worker
//	publish the hint (full fence)      load wake
//	look at sleepers                   set its sleeper bit (full fence)
//	look at spinners, nappers          look at the ready ring, at stop
//	clear a sleeper's bit: was set?    sleep while wake is unchanged
//	raise wake, FUTEX_WAKE             clear its bit
//
// Whichever of "publish" and "set bit" comes first in the total order of Go's atomics,
// the other side sees it. While someone spins or naps, nobody is woken: he will look. He
// clears his bit first, claims a task, and then, if there are more, wakes the
// next: so a wake that was left out because of him is made up for, and so is one that was meant for another task than he took. A bit of a worker
// that was killed is cleared by the parent, which then wakes everyone.
//
// A napper is a worker that sleeps for a bounded time while another is awake and tasks
// come by the ten thousand per second: waking it for each would cost more than the task. When the
// last one that is awake goes to sleep it wakes the napper, after its own last look.
type crowd struct {
	ctl   *control
	idle  *idleSets
	areas []workerArea
	words int // of each bitmap that this crowd uses
}

func (m *memory) crowd() crowd {
	return crowd{ctl: m.ctl, idle: &m.ctl.idle, areas: m.workers, words: (len(m.workers) + 63) / 64}
}

type bitmap = []atomic.Uint64

func set(bitmap bitmap, i int) { bitmap[i/64].Or(1 << (i % 64)) }

// unset reports whether the bit was set: only one of several callers gets true.
func unset(bitmap bitmap, i int) bool {
	return bitmap[i/64].And(^(uint64(1)<<(i%64)))>>(i%64)&1 == 1
}

func (c *crowd) any(bitmap bitmap) bool {
	for w := range bitmap[:c.words] {
		if bitmap[w].Load() != 0 {
			return true
		}
	}
	return false
}

func (c *crowd) count(bitmap bitmap) int {
	n := 0
	for w := range c.words {
		n += bits.OnesCount64(bitmap[w].Load())
	}
	return n
}

// call makes sure that somebody looks at the hint that was just published, which was
// a full fence. It reports whether somebody had to be woken.
func (c *crowd) call() (woke bool) {
	// Sleepers first: they change seldom, so that this look mostly hits the cache, and while
	// there is none the lines that spinners write need not be moved here.
	for w := range c.words {
		if c.idle.sleepers[w].Load() != 0 {
			return c.callSleeper()
		}
	}
	return false
}

func (c *crowd) callSleeper() bool {
	return !c.any(c.idle.spinners[:]) && !c.any(c.idle.nappers[:]) && c.wakeOne(c.idle.sleepers[:])
}

// wakeNapper wakes one that naps. It is for a worker that is about to sleep: a wake that is left
// out from now on because of the napper would have to wait for the end of its nap.
func (c *crowd) wakeNapper() { c.wakeOne(c.idle.nappers[:]) }

// wakeOne takes a worker out of a set and wakes it. It reports whether there was one.
func (c *crowd) wakeOne(bitmap bitmap) bool {
	for w := range c.words {
		for {
			them := bitmap[w].Load() // pairs with the Or in worker.sleep
			if them == 0 {
				break
			}
			i := w*64 + bits.TrailingZeros64(them)
			if i >= len(c.areas) {
				break // only a broken worker sets such a bit
			}
			if unset(bitmap, i) {
				c.wake(i)
				return true
			}
		}
	}
	return false
}

// wake ends worker i's sleep, or the one that it is about to begin.
func (c *crowd) wake(i int) {
	c.areas[i].wake.Add(1) // pairs with the load in worker.sleep
	sys.FutexWake(&c.areas[i].wake, 1)
}

// wakeAll ends the sleep of those in the first places.
func (c *crowd) wakeAll(places int) {
	for i := range places {
		unset(c.idle.sleepers[:], i)
		c.wake(i)
	}
}

// forget clears what a dead worker has left.
func (c *crowd) forget(i int) {
	unset(c.idle.sleepers[:], i)
	unset(c.idle.spinners[:], i)
	unset(c.idle.nappers[:], i)
	unset(c.ctl.sharing[:], i)
}

// awake counts the workers that neither sleep nor nap. It is a guess: workers come and go.
func (c *crowd) awake() int {
	n := int(c.ctl.present.Load()) // pairs with the store in Pool.count
	for w := range c.words {
		n -= bits.OnesCount64(c.idle.sleepers[w].Load() | c.idle.nappers[w].Load())
	}
	return n
}
