package pool

import (
	"errors"
	"fmt"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// An appetite says whether a worker waits for memory, and how often it has looked for some in vain: nobody is told that it
// waits in vain who has not looked since there was none. A worker may be kept from looking, by others or for want of a processor.
type appetite uint32

const (
	sated  appetite = iota
	hungry          // stored by the worker
	denied          // stored by the parent, over hungry: it waits in vain

	appetiteBits = 2
)

func (a appetite) withLooks(n uint32) uint32 { return uint32(a) | n<<appetiteBits }

func (a appetite) state() appetite { return a & (1<<appetiteBits - 1) }

// sinceThen is how many looks there were between two appetites of one hungry worker.
func (a appetite) sinceThen(then appetite) uint32 { return uint32(a-then) >> appetiteBits }

// appetite pairs, in the parent, with the stores and the CAS in worker.allocate; in the worker with the CAS in Pool.deny.
func (area *workerArea) appetite() appetite { return appetite(area.hungry.Load()) }

// errStarved is what a task gets that waited for memory in vain.
var errStarved = errors.New("nothing will be freed: every task that runs waits for memory, or none was freed for a long time")

// longestStep bounds the time between two looks of a worker that waits for memory.
const (
	shortestStep = 200 * time.Microsecond
	longestStep  = 10 * time.Millisecond
)

// allocate returns a block of n bytes for a task, and whether it is known to be zero, once there is room. ended says why
// nobody wants it any more.
func (w *worker) allocate(n int64, ended func() error) (b shm.Block, zero bool, err error) {
	b, zero, err = w.store.Alloc(n)
	if errors.Is(err, shm.ErrNoMemory) {
		w.store.TrimAll() // what is kept for whoever comes next
		b, zero, err = w.store.Alloc(n)
	}
	if !errors.Is(err, shm.ErrArenaFull) {
		return b, zero, err
	}
	w.waiting.Lock() // one at a time says that this worker is hungry
	defer w.waiting.Unlock()
	// Killed before it: the parent clears the word for the next worker in this place.
	defer func() { w.area.hungry.Store(sated.withLooks(w.looks)) }()
	for step := shortestStep; ; step = min(2*step, longestStep) {
		w.store.Sweep()
		if b, zero, err = w.store.Alloc(n); !errors.Is(err, shm.ErrArenaFull) {
			return b, zero, err
		}
		if err := ended(); err != nil {
			return shm.Block{}, false, err
		}
		w.looks++
		was, now := w.area.appetite(), hungry.withLooks(w.looks)
		if was.state() == denied || !w.area.hungry.CompareAndSwap(uint32(was), now) { // pairs with the CAS in Pool.deny: one of them fails
			return shm.Block{}, false, fmt.Errorf("%w: %w", err, errStarved)
		}
		if was.state() == sated {
			w.bell.ring() // the CAS was a full fence
		}
		sys.FutexWait(&w.area.hungry, now, step)
	}
}

// notEnded is for those who wait whatever happens.
func notEnded() error { return nil }

// starvation is what the parent knows of workers that wait for memory.
type starvation struct {
	relieving bool
	freeings  uint64 // when the workers were last looked at
	endings   uint64
	since     time.Time // nothing was freed
	stuck     bool      // nothing could be, at the last look; then each member's appetite was noted when that was first so
}

// starvedFor is how long the workers wait for memory if somebody could free some and does not. Tests shorten it.
var starvedFor = 30 * time.Second

// free gives a block back, and leaves word of it: the parent, which has memory given back to the system, does not see what
// workers free.
func (w *worker) free(b shm.Block) {
	w.store.Free(b)
	if w.area.freed.Load() == 0 {
		w.area.freed.Store(1) // pairs with the load in Pool.noticeMemory
	}
}

// noticeMemory looks whether a worker has freed blocks, and has a goroutine look after workers that wait for
// memory. The caller holds mu.
func (p *Pool) noticeMemory(area *workerArea) {
	if area.freed.Load() != 0 { // pairs with the store in worker.free
		area.freed.Store(0)
		p.soil()
	}
	if area.appetite().state() == hungry && !p.starvation.relieving && p.phase < stopping && p.moving == nil { // pairs with the CAS in worker.allocate
		p.starvation = starvation{relieving: true}
		p.inside++
		go p.relieve()
	}
}

// relieve helps workers that wait for memory, until there is none: it has spans given up, and ends the wait of
// one whenever they wait for each other.
func (p *Pool) relieve() {
	defer p.exit(1)
	ticks := time.NewTicker(retryEvery)
	defer ticks.Stop()
	for {
		p.store.Sweep()
		p.askToSweep()
		if !p.decideHunger() {
			return
		}
		select {
		case <-ticks.C:
		case <-p.quit:
		}
	}
}

// decideHunger reports whether there are workers that wait for memory.
func (p *Pool) decideHunger() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last *member
	if p.phase < stopping && p.broken == nil && p.moving == nil {
		p.reap()
		for _, m := range p.members {
			if p.mem.workers[m.index].appetite().state() == hungry {
				last = m
			}
		}
	}
	s := &p.starvation
	if last == nil {
		s.relieving = false
		return false
	}
	stuck := p.deadlocked()
	if s.freeings != p.freeings || s.endings != p.endings || s.since.IsZero() {
		s.freeings, s.endings, s.since, stuck = p.freeings, p.endings, time.Now(), false
	}
	switch {
	case stuck && !s.stuck:
		p.noteAppetites()
	case stuck && p.allHaveLooked() || time.Since(s.since) > starvedFor:
		p.deny(last)
		s.since, stuck = time.Now(), false
	}
	s.stuck = stuck
	return true
}

// deny ends m's wait for memory. The caller holds mu.
func (p *Pool) deny(m *member) {
	area := &p.mem.workers[m.index]
	a := area.appetite()
	if a.state() == hungry && area.hungry.CompareAndSwap(uint32(a), uint32(denied)) { // pairs with the CAS in worker.allocate
		sys.FutexWake(&area.hungry, 1)
	}
}

// noteAppetites and allHaveLooked tell whether all who are hungry have looked in vain since: the first look may have begun before.
// The caller holds mu.
func (p *Pool) noteAppetites() {
	for _, m := range p.members {
		m.appetite = p.mem.workers[m.index].appetite()
	}
}

func (p *Pool) allHaveLooked() bool {
	for _, m := range p.members {
		if a := p.mem.workers[m.index].appetite(); a.state() == hungry && a.sinceThen(m.appetite) < 2 {
			return false
		}
	}
	return true
}

// deadlocked reports whether nothing will be freed: every task that runs waits for memory, none has just ended, and the
// program holds no blocks. The caller holds mu.
func (p *Pool) deadlocked() bool {
	if p.home.blocks > 0 || p.copying > 0 {
		return false
	}
	for i := range p.entries {
		if !p.entries[i].live {
			continue
		}
		w := word(p.mem.slots[i].word.Load())
		if w.state() == queued {
			continue
		}
		m := p.memberOf(w.worker())
		if w.state() != running || m == nil || p.mem.workers[m.index].appetite().state() != hungry {
			return false
		}
	}
	return true
}
