package semaphore

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
)

// fewAlone is how many servers of a process sleep on a thread each: that is quickest, and few processes have more that sleep.
const fewAlone = 8

// sleeping are the servers of all Waitqueues of this process.
var sleeping = &sleepers{alone: fewAlone, canGroup: sync.OnceValue(sys.CanFutexSet)}

// Sleepers are the servers of a process's Waitqueues while they sleep. A few sleep alone, each in FUTEX_WAIT on its own thread.
// Those beyond sleep in groups: a goroutine on a channel costs no thread, and one thread of the group sleeps on all their words by
// futex_waitv. Where the kernel has no such call, all sleep alone.
type sleepers struct {
	alone    int64       // how many may sleep alone, if others can be in groups
	canGroup func() bool // asked when there are more

	n atomic.Int64 // of those who sleep alone

	mu     sync.Mutex // guards all groups
	groups []*group   // all that there ever were
}

// sleep is e.sleepAs, in a group or alone. Both end by Notify, NotifyAll, Rouse and kick alike.
func (s *sleepers) sleep(e Eventcount, ticket uint32, timeout time.Duration, bits uint32) (timedOut bool) {
	if s.n.Add(1) <= s.alone || !s.canGroup() {
		defer s.n.Add(-1)
		return e.sleepAs(ticket, timeout, bits)
	}
	s.n.Add(-1)
	return s.sleepGrouped(e, ticket, timeout)
}

func (s *sleepers) sleepGrouped(e Eventcount, ticket uint32, timeout time.Duration) (timedOut bool) {
	m := &member{word: e.word, ticket: ticket, awake: make(chan bool, 1)}
	if timeout >= 0 {
		m.until = time.Now().Add(timeout)
	}
	s.join(m)
	return <-m.awake
}

// join puts m into the first group that has room.
func (s *sleepers) join(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.groups, func(g *group) bool { return len(g.members) < maxMembers })
	if i < 0 {
		i = len(s.groups)
		s.groups = append(s.groups, &group{mu: &s.mu})
	}
	g := s.groups[i]
	g.members = append(g.members, m)
	if !g.running {
		g.running = true
		go g.run()
	}
	g.interrupt()
}
