package semaphore

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
)

// maxMembers is how many words a group has beside its own.
const maxMembers = sys.MaxFutexes - 1

// A group is sleepers for whom one thread sleeps, as long as there are any.
//
// The thread looks at the words, lets those members go whose words are not what they saw, or whose time is over, and sleeps on the others
// and on a word of its own, which whoever joins advances. Members are let go by nobody else: so a word is mapped as long as the thread looks at it.
//
// # Why looking at the values is enough
//
// Of several wake-ups the call tells at most one, so none is asked for. A member that was woken by a Notify, NotifyAll, Rouse or kick after
// its Announce finds another value in its word: all of them advance the word before they wake. One that is woken by a wake-up that
// is late, of an advance before its Announce, sleeps on. It has looked at its condition since that advance, and what
// that told of was not there for it any more: so it was not there for those either who have slept longer, and whom the wake-up has
// missed.
//
// Nobody's wake-up is taken by a member whose time is over: if its word has not changed when the thread, which does not sleep, looks at it, then
// nobody has woken it, or as above.
type group struct {
	bell atomic.Uint32 // in the Go heap; advanced to have the thread look; pairs with futex_waitv's look

	mu      *sync.Mutex // that of sleepers; guards:
	members []*member   // in no order
	running bool        // there is a thread: no member is without one
	asleep  bool        // the thread sleeps, or is about to and has read the bell

	set sys.FutexSet // of the thread alone
}

// A member is a sleeper in a group.
type member struct {
	word   *atomic.Uint32
	ticket uint32
	until  time.Time // zero: without a bound
	awake  chan bool // gets whether the time ran out; has room for it
}

// interrupt has the thread look at the members; the caller holds the lock.
func (g *group) interrupt() {
	if g.asleep {
		g.asleep = false // once is enough
		g.bell.Add(1)
		sys.FutexWake(&g.bell, 1)
	}
}

// run is the thread of the group.
func (g *group) run() {
	for {
		timeout, some := g.prepare()
		if !some {
			return
		}
		g.set.Wait(timeout)
		if g.release() { // they may come back at once, and be spared to interrupt
			runtime.Gosched()
		}
	}
}

// prepare fills the set to sleep on, and returns for how long at most. Without members the thread ends.
func (g *group) prepare() (timeout time.Duration, some bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) == 0 {
		g.running = false
		return 0, false
	}
	g.asleep = true
	g.set.Clear()
	g.set.Add(&g.bell, g.bell.Load())
	var until time.Time
	for _, m := range g.members {
		g.set.Add(m.word, m.ticket)
		if until.IsZero() || !m.until.IsZero() && m.until.Before(until) {
			until = m.until
		}
	}
	if until.IsZero() {
		return -1, true
	}
	return max(time.Until(until), 0), true
}

// release lets those members go that need not sleep any more, and reports whether there were any.
func (g *group) release() (some bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asleep = false
	n, now := len(g.members), time.Now()
	g.members = slices.DeleteFunc(g.members, func(m *member) bool {
		changed := m.word.Load() != m.ticket // pairs with all that wakes: it advances the word first
		late := !m.until.IsZero() && !m.until.After(now)
		if changed || late {
			m.awake <- !changed
		}
		return changed || late
	})
	return len(g.members) < n
}
