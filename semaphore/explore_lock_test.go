//go:build explore

package semaphore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// A crypt is processes that lock something, of which those that crash are dead to the others. What a kernel does is a process of the
// scenario's: it tells who asked for it.
type crypt struct {
	company
	asked  []request
	inside int // who is within a section, plus 1, which is told by where it stands

	// What the lock guards: equal, but within a section, or when one died there.
	a, b *atomic.Uint64
}

func newCrypt(w *explore.World, n int) *crypt {
	mem := layout.SliceBytes(make([]uint64, 2))
	w.Share("guarded", mem)
	return &crypt{company: company{make([]*explore.Process, n)}, a: layout.MustAt[atomic.Uint64](mem, 0), b: layout.MustAt[atomic.Uint64](mem, 8)}
}

// A request is to be told of a process's end.
type request struct {
	of owner.ID
	f  func()
}

func (c *crypt) watch(v *vigil) {
	v.alive = c.alive
	v.onEnd = func(id owner.ID, f func()) (func(), error) {
		c.asked = append(c.asked, request{id, f})
		return func() {}, nil
	}
}

// kernel tells of the end of mortal, whenever somebody asks, until the others are gone; at once does what it says.
func (c *crypt) kernel(w *explore.World, mortal *explore.Process, atOnce func()) {
	others := append([]*explore.Process{}, c.procs...)
	over := func() bool {
		for _, p := range others {
			if p != mortal && p != nil && !p.Gone() {
				return false
			}
		}
		return true
	}
	w.Go("kernel", func() {
		explore.Until(func() bool { return mortal.Crashed() || over() })
		if !mortal.Crashed() {
			return
		}
		atOnce()
		for {
			explore.Until(func() bool { return len(c.asked) > 0 || over() })
			if len(c.asked) == 0 {
				return
			}
			asked := c.asked
			c.asked = nil
			for _, r := range asked {
				if !c.alive(r.of) {
					r.f()
				}
			}
		}
	})
}

// enter is what a holder does first: err is what its lock has returned.
func (c *crypt) enter(i int, err error) {
	died := errors.Is(err, ErrOwnerDied)
	if err != nil && !died {
		explore.Fail("corrupted", "%v", err)
	}
	crashed := false
	for _, p := range c.procs {
		crashed = crashed || p != nil && p.Crashed()
	}
	switch {
	case c.inside != 0 && !c.procs[c.inside-1].Crashed():
		explore.Fail("two holders", "%d and %d", c.inside-1, i)
	case died && !crashed:
		explore.Fail("told of no death", "%v", err)
	}
	c.inside = i + 1
	if a := c.a.Load(); a != c.b.Load() {
		if !died {
			explore.Fail("not told", "one has died within")
		}
		c.b.Store(a)
	}
	c.a.Add(1)
	c.b.Add(1)
	c.inside = 0
}

// mutexes makes handles of as many processes on one mutex, for which the next turn is due after so many unlocks more.
func mutexes(w *explore.World, n int, turn uint32) (*crypt, []*Mutex) {
	sleeping = &sleepers{alone: math.MaxInt64}
	mem := layout.SliceBytes(make([]uint64, MutexSize/8))
	c, all := newCrypt(w, n), make([]*Mutex, n)
	for i := range all {
		var err error
		if i == 0 {
			all[i], err = NewMutexAt(mem)
		} else {
			all[i], err = AttachMutex(mem)
		}
		if err != nil {
			panic(err)
		}
		all[i].lock.id = owner.ID(1000 + i)
		all[i].lock.queue.bits = 1 << i
		c.watch(&all[i].lock.vigil)
	}
	all[0].lock.words.passed.Store(maxPassed - turn)
	w.Tick(time.Millisecond)
	w.Share("mutex", mem)
	return c, all
}

func (c *crypt) use(i int, m *Mutex) {
	c.enter(i, m.Lock(context.Background()))
	m.Unlock()
}

// unowned is for the end.
func unowned(l *lock) error {
	if w := l.words.word.Load(); holderOf(w) != 0 {
		return fmt.Errorf("held by %v at the end", holderOf(w))
	}
	return nil
}

// Processes lock it, one or two times each, and sleep until they are told: turns are due from the first unlock on, or never.
func TestExploreMutex(t *testing.T) {
	for _, tt := range []struct {
		name   string
		uses   []int
		turn   uint32
		delays int
	}{{"two", []int{1, 1}, 9, 0}, {"two, turns", []int{2, 2}, 0, 3}, {"three", []int{1, 1, 1}, 9, 2}, {"three, turns", []int{2, 1, 1}, 0, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Mutex, " + tt.name, Delays: tt.delays, Walks: 300, New: func(w *explore.World) {
				c, all := mutexes(w, len(tt.uses), tt.turn)
				for i, uses := range tt.uses {
					all[i].lock.queue.step, all[i].lock.keeps = -1, math.MaxInt64
					c.procs[i] = w.Go(fmt.Sprint("process", i), func() {
						for range uses {
							c.use(i, all[i])
						}
					})
				}
				w.Check(func() error { return unowned(&all[0].lock) })
			}})
		})
	}
}

// One crashes, holding the lock, or waiting for it, or when it was granted to it. The others go on, and the first of them is told if it held it.
func TestExploreMutexCrash(t *testing.T) {
	for _, tt := range []struct {
		name string
		turn uint32
	}{{"no turn", 9}, {"turns", 0}} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "semaphore.Mutex, crash, " + tt.name, Crashes: 1, Delays: 2, Walks: 500, New: func(w *explore.World) {
				c, all := mutexes(w, 3, tt.turn)
				for i, m := range all {
					body := func() { c.use(i, m) }
					if i == 1 {
						c.procs[i] = w.GoMortal("mortal", body)
					} else {
						c.procs[i] = w.Go(fmt.Sprint("process", i), body)
					}
				}
				c.kernel(w, c.procs[1], func() {})
				w.Check(func() error {
					if c.procs[1].Crashed() {
						return nil // it may have crashed last
					}
					return unowned(&all[0].lock)
				})
			}})
		})
	}
}

// One whose context ends leaves a turn to another, or finds that it has the lock.
func TestExploreMutexLeave(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Mutex, a waiter leaves", Delays: 3, Walks: 300, Timeouts: explore.WhenIdle, New: func(w *explore.World) {
		c, all := mutexes(w, 3, 0)
		l := &all[0].lock
		first := &waiter{on: l.on(), try: func() bool { ok, err := l.try(); return ok || err != nil }}
		l.queue.join(first)
		c.procs[0] = w.Go("first", func() {
			if l.queue.serve(context.Background(), first); first.served {
				c.enter(0, nil)
				l.release()
			} else {
				l.forgo()
			}
		})
		c.procs[1] = w.Go("second", func() { c.use(1, all[1]) })
		c.procs[2] = w.Go("third", func() { c.use(2, all[2]) })
		w.Go("its context", func() { l.queue.leave(first) })
		w.Check(func() error {
			if w := l.words.word.Load(); holderOf(w) != 0 && w&granted == 0 {
				return fmt.Errorf("held by %v at the end", holderOf(w))
			}
			return nil
		})
	}})
}

// A turn was given to a process of which nobody waits any more: it passes it on while another claims one, who sleeps until it is told and would respect
// the turn for ever.
func TestExploreMutexForgo(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.Mutex, a turn passed on", New: func(w *explore.World) {
		c, all := mutexes(w, 2, 9)
		l := &all[0].lock
		l.words.word.Store(uint64(l.id) | granted)
		l.words.claim[0].Store(uint64(l.id))
		all[1].lock.queue.step, all[1].lock.keeps = -1, math.MaxInt64
		c.procs[0] = w.Go("has left", l.forgo)
		c.procs[1] = w.Go("waits", func() { c.use(1, all[1]) })
		w.Check(func() error { return unowned(l) })
	}})
}

// rwMutexes makes handles of as many processes on one RWMutex.
func rwMutexes(w *explore.World, n int) (*crypt, []*RWMutex) {
	sleeping = &sleepers{alone: math.MaxInt64}
	mem := layout.SliceBytes(make([]uint64, RWMutexSize/8))
	c, all := newCrypt(w, n), make([]*RWMutex, n)
	for i := range all {
		var err error
		if i == 0 {
			all[i], err = NewRWMutexAt(mem)
		} else {
			all[i], err = AttachRWMutex(mem)
		}
		if err != nil {
			panic(err)
		}
		m := all[i]
		m.writers.id = owner.ID(1000 + i)
		for k, q := range []*Waitqueue{&m.writers.queue, &m.entering[0], &m.entering[1], &m.draining} {
			q.bits = 1 << (4*i + k)
		}
		c.watch(&m.writers.vigil)
		c.seat(&m.readers, i)
	}
	w.Tick(time.Millisecond)
	w.Share("RWMutex", mem[:RWMutexSize-(Seats-n)*layout.Line])
	return c, all
}

func (c *crypt) write(i int, m *RWMutex, reading []bool) {
	err := m.Lock(context.Background())
	for k, is := range reading {
		if is && !c.procs[k].Crashed() {
			explore.Fail("two holders", "%d writes while %d reads", i, k)
		}
	}
	c.enter(i, err)
	m.Unlock()
}

func (c *crypt) read(i int, m *RWMutex, reading []bool) {
	err := m.RLock(context.Background())
	died := errors.Is(err, ErrOwnerDied)
	switch {
	case err != nil && !died:
		explore.Fail("corrupted", "%v", err)
	case c.inside != 0 && !c.procs[c.inside-1].Crashed():
		explore.Fail("two holders", "%d reads while %d writes", i, c.inside-1)
	}
	reading[i] = true
	if c.a.Load() != c.b.Load() && !died {
		explore.Fail("not told", "one has died within")
	}
	reading[i] = false
	m.RUnlock()
}

// Readers (r) and writers (w), of which the one in capitals may crash.
func TestExploreRWMutex(t *testing.T) {
	for _, tt := range []struct {
		parts  string
		delays int
	}{{"rw", 0}, {"rrw", 2}, {"rww", 2}, {"rwr", 3}, {"Rw", 3}, {"Wr", 3}, {"Ww", 3}, {"Rwr", 2}, {"rWw", 2}, {"rWr", 2}, {"wWr", 2}} {
		t.Run(tt.parts, func(t *testing.T) {
			crashes := 0
			for _, p := range tt.parts {
				if p < 'a' {
					crashes = 1
				}
			}
			explore.Run(t, explore.Scenario{Name: "semaphore.RWMutex, " + tt.parts, Crashes: crashes, Delays: tt.delays, Walks: 500, New: func(w *explore.World) {
				c, all := rwMutexes(w, len(tt.parts))
				reading := make([]bool, len(tt.parts))
				var mortal *explore.Process
				for i, part := range tt.parts {
					m := all[i]
					body := func() { c.write(i, m, reading) }
					if part|' ' == 'r' {
						body = func() { c.read(i, m, reading) }
					}
					if part < 'a' {
						mortal = w.GoMortal("mortal", body)
						c.procs[i] = mortal
						continue
					}
					if crashes == 0 {
						m.unbounded()
					}
					c.procs[i] = w.Go(fmt.Sprint("process", i), body)
				}
				if mortal != nil {
					c.kernel(w, mortal, func() {
						for i, m := range all {
							if c.procs[i] != mortal {
								m.readers.recover()
							}
						}
					})
				}
			}})
		})
	}
}

// A writer gives up, while others wait to read and to write.
func TestExploreRWMutexGiveUp(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.RWMutex, a writer gives up", Delays: 3, Walks: 500, New: func(w *explore.World) {
		c, all := rwMutexes(w, 3)
		reading := make([]bool, 3)
		all[1].unbounded()
		all[2].unbounded()
		c.procs[0] = w.Go("gives up", func() {
			if ok, err := all[0].writers.tryAcquire(); !ok || err != nil {
				return
			}
			all[0].shut()
			explore.Step()
			all[0].giveUp()
		})
		c.procs[1] = w.Go("writer", func() { c.write(1, all[1], reading) })
		c.procs[2] = w.Go("reader", func() { c.read(2, all[2], reading) })
	}})
}

// The lock of a writer is granted to another process, a reader of which looks after the writer just then: the grant stays for the writer
// of its own process.
func TestExploreRWMutexGrant(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.RWMutex, a grant beside a reader", New: func(w *explore.World) {
		c, all := rwMutexes(w, 2)
		l := &all[1].writers
		l.words.passed.Store(maxPassed)
		l.words.claim[0].Store(uint64(l.id))
		l.words.word.Store(uint64(all[0].writers.id) | claimed)
		all[0].body.gate.Store(closed)
		c.procs[0] = w.Go("writer", all[0].Unlock)
		c.procs[1] = w.Go("reader", func() {
			ok, err := all[1].TryRLock()
			if err != nil {
				explore.Fail("corrupted", "%v", err)
			}
			if ok {
				all[1].RUnlock()
			}
			if w := l.words.word.Load(); holderOf(w) != all[0].writers.id && w != uint64(l.id)|flags {
				explore.Fail("used up", "the word is %#x", w)
			}
		})
		w.Check(func() error {
			if w := l.words.word.Load(); w != uint64(l.id)|flags {
				return fmt.Errorf("the word is %#x at the end", w)
			}
			return nil
		})
	}})
}

// Two goroutines of one process read, while another process writes twice: who waits for which phase does not depend on which of them
// waits first.
func TestExploreRWMutexPhases(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "semaphore.RWMutex, two phases", Delays: 4, Walks: 500, New: func(w *explore.World) {
		c, all := rwMutexes(w, 3)
		reading := make([]bool, 3)
		all[0].unbounded()
		all[1].unbounded()
		c.procs[0] = w.Go("writer", func() {
			c.write(0, all[0], reading)
			c.write(0, all[0], reading)
		})
		c.procs[1] = w.Go("reader", func() { c.read(1, all[1], reading) })
		c.procs[2] = w.Go("another of its goroutines", func() { c.read(2, all[1], reading) })
	}})
}

func (m *RWMutex) unbounded() {
	for _, q := range []*Waitqueue{&m.writers.queue, &m.entering[0], &m.entering[1], &m.draining} {
		q.step = -1
	}
}
