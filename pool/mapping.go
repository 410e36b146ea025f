package pool

import (
	"context"
	"iter"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// A mapping is one Map that runs: a goroutine that feeds, and the consumer's. What they
// share is a list of chunks in the order of the input. Locks are taken in the order
// mapping.mu, Pool.mu.
type mapping[In, Out any] struct {
	f       *Function[In, Out]
	p       *Pool
	ordered bool
	most    int // items in a chunk at most
	chunked bool
	ctx     context.Context // of the items; ends when the consumer breaks
	cancel  context.CancelFunc
	unwatch func() bool
	onEnd   func()        // ended, as a hook
	wake    chan struct{} // for the consumer; has room for one
	room    chan struct{} // for the feeder; has room for one
	fedTo   int           // items for which there were buffers; the feeder's own
	seen    int64         // endings that the consumer knows of
	outs    []Out         // the consumer's copy of the results of its chunk

	endings  atomic.Int64 // of chunks
	inFlight atomic.Int64 // chunks
	taken    atomic.Int64 // items that the consumer has taken
	size     atomic.Int64 // items that a chunk should have
	stopped  atomic.Bool  // nothing is to be sent any more; set under mu
	hungry   atomic.Bool  // the consumer has waited long, and wants to know of the next item

	mu      sync.Mutex // guards what follows
	chunks  []*chunk[In, Out]
	unsent  int // index in chunks below which all are sent
	filling *buffer[In]
	blocks  []shm.Block // for the next chunks, all of the newest of homes
	homes   []*estate   // pinned: where the blocks of chunks lie, the newest last
	reading *estate     // where that of the consumer's chunk lies
	spare   [][]In      // memory for the next items
	each    time.Duration
	fed     bool
	panic   *iteratorPanic
}

// A chunk is some consecutive items. It travels as a part or, alone, as a task like any other.
type chunk[In, Out any] struct {
	part
	home    *estate // where its block lies
	first   int     // index of its first item
	in      []In
	fut     *Future[Out]
	err     error // why it was not sent
	sent    bool
	settled bool // it has ended, and what it left over is a chunk of its own
}

// A buffer is where the feeder puts items. The consumer may send what is there, if nobody has
// anything to do, while the feeder goes on behind it.
type buffer[In any] struct {
	in     []In
	next   int // index in in; the feeder's own
	first  int
	filled atomic.Uint64 // pairs: the store in put, the load in flush
	sent   int           // guarded by mapping.mu
}

// iteratorPanic is what the sequence given to a Map panicked with.
type iteratorPanic struct {
	value any
	stack []byte
}

func (f *Function[In, Out]) newMapping(ctx context.Context, p *Pool, ordered bool) *mapping[In, Out] {
	m := &mapping[In, Out]{f: f, p: p, ordered: ordered, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	if p.tries(f.retries) == 0 {
		m.most, m.chunked = f.chunks()
	} else { // which is for tasks
		m.most = 1
	}
	m.size.Store(1)
	m.onEnd = m.ended
	m.ctx, m.cancel = context.WithCancel(ctx)
	m.unwatch = context.AfterFunc(m.ctx, m.abandon)
	return m
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// ended is called, under the pool's lock, for each chunk that has ended.
func (m *mapping[In, Out]) ended() {
	m.inFlight.Add(-1)
	m.endings.Add(1)
	notify(m.wake)
}

// finished reports whether the consumer has something to look at.
func (m *mapping[In, Out]) finished() bool { return m.endings.Load() != m.seen }

// limit is how many chunks are in flight at most, and ahead how many items the feeder is ahead of
// the consumer.
func (m *mapping[In, Out]) limit() int64 {
	if m.size.Load() == 1 {
		return int64(m.p.window())
	}
	return int64(2 + 2*m.p.workers())
}

func (m *mapping[In, Out]) ahead(size int) int {
	return max(m.p.window(), size*(4+2*m.p.workers()))
}

// feed hands the values of xs on.
func (m *mapping[In, Out]) feed(xs iter.Seq[In]) {
	var failure *iteratorPanic
	returned := false
	defer func() {
		if v := recover(); v != nil {
			failure = &iteratorPanic{value: v, stack: debug.Stack()}
		} else if !returned {
			failure = &iteratorPanic{value: "runtime.Goexit was called"}
		}
		m.mu.Lock()
		m.flush()
		m.fed, m.panic = true, failure
		m.mu.Unlock()
		notify(m.wake)
	}()
	last := &buffer[In]{}
	for x := range xs {
		b := last // which the loop's body, a function, would read from memory each time
		if b.next == len(b.in) {
			if b = m.nextBuffer(); b == nil {
				m.f.reclaim(x)
				break
			}
			last = b
		}
		b.in[b.next] = x
		b.next++
		sys.ReleaseStore64(&b.filled, uint64(b.next))
		if b.next == len(b.in) || m.hungry.Load() {
			m.offer(b)
		}
		if m.stopped.Load() {
			break
		}
	}
	returned = true
}

// nextBuffer returns an empty buffer, once the consumer has taken enough for it to be filled. It
// returns nil when the context ends.
func (m *mapping[In, Out]) nextBuffer() *buffer[In] {
	for {
		n := int(m.size.Load())
		if m.fedTo+n <= int(m.taken.Load())+m.ahead(n) {
			return m.newBuffer(n)
		}
		select {
		case <-m.room:
		case <-m.ctx.Done():
			return nil
		}
	}
}

func (m *mapping[In, Out]) newBuffer(n int) *buffer[In] {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := &buffer[In]{first: m.fedTo, in: m.memory(n)}
	m.fedTo += n
	if m.chunked {
		m.filling = b
	}
	return b
}

// offer sends a full buffer; of another it tells a consumer that has waited long.
func (m *mapping[In, Out]) offer(b *buffer[In]) {
	if b.next < len(b.in) {
		m.hungry.Store(false)
		notify(m.wake)
		return
	}
	if !m.chunked {
		m.start(b)
		return
	}
	m.mu.Lock()
	m.flush()
	m.filling = nil
	m.mu.Unlock()
	m.send()
}

// memory returns room for the next n items. The caller holds mu.
func (m *mapping[In, Out]) memory(n int) []In {
	for last := len(m.spare) - 1; last >= 0; last-- {
		in := m.spare[last]
		m.spare = m.spare[:last]
		if len(in) >= n {
			return in[:n:n]
		}
	}
	return make([]In, n)
}

// recycle takes back the items of a chunk that the consumer has seen. They are nobody else's.
func (m *mapping[In, Out]) recycle(in []In) {
	if !m.chunked || len(in) == 1 {
		return
	}
	m.mu.Lock()
	m.spare = append(m.spare, in)
	m.mu.Unlock()
}

// flush makes a chunk of what is in the buffer. The caller holds mu.
func (m *mapping[In, Out]) flush() {
	b := m.filling
	if b == nil {
		return
	}
	filled := int(b.filled.Load())
	if filled > b.sent {
		m.chunks = append(m.chunks, &chunk[In, Out]{first: b.first + b.sent, in: b.in[b.sent:filled:filled], part: part{fresh: filled - b.sent}})
		b.sent = filled
	}
}

// next returns the next chunk that has ended, or nil if there is none any more, or the context
// has ended.
func (m *mapping[In, Out]) next() *chunk[In, Out] {
	for waited := time.Duration(0); ; {
		m.seen = m.endings.Load()
		m.send()
		c, over := m.pick()
		if c != nil {
			m.taken.Add(int64(len(c.in)))
			notify(m.room)
			return c
		}
		if over || isDone(m.ctx) {
			return nil
		}
		if m.inFlight.Load() == 0 || !m.p.spin(m.ctx, m) {
			waited = m.park(waited)
		}
	}
}

// pick takes a chunk that has ended off the list. over reports that there will be none.
func (m *mapping[In, Out]) pick() (c *chunk[In, Out], over bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	for i, c := range m.chunks {
		if c.settled {
			m.chunks = append(m.chunks[:i], m.chunks[i+1:]...)
			if i < m.unsent {
				m.unsent--
			}
			m.reading = c.home
			return c, false
		}
		if m.ordered {
			break
		}
	}
	return nil, m.fed && len(m.chunks) == 0
}

// The consumer waits in steps: at first to send what the feeder has put into the buffer if nobody
// has anything to do, then to have long chunks cut.
const (
	firstStep = 50 * time.Microsecond
	lastStep  = 50 * time.Millisecond
	longChunk = time.Millisecond
)

// park sleeps until something happens. waited is for how long it has slept in vain, and what it
// returns: by the clock, since who wants to be woken after a step may get a processor much later.
func (m *mapping[In, Out]) park(waited time.Duration) time.Duration {
	began := time.Now()
	step := min(max(waited, firstStep), lastStep)
	timer := time.NewTimer(step)
	defer timer.Stop()
	m.p.mu.Lock()
	m.p.watch()
	m.p.mu.Unlock()
	defer func() {
		m.p.mu.Lock()
		m.p.watched--
		m.p.mu.Unlock()
	}()
	if m.finished() {
		return 0
	}
	if waited > 0 { // a feeder that does not see it in time costs one step
		m.hungry.Store(true)
	}
	select {
	case <-m.wake:
		return 0
	case <-m.ctx.Done():
		return 0
	case <-timer.C:
	}
	waited += time.Since(began)
	m.hurry(waited)
	return waited
}

// hurry does what helps a consumer that has waited in vain.
func (m *mapping[In, Out]) hurry(waited time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inFlight.Load() < int64(m.p.workers()) {
		m.flush()
	}
	if waited < longChunk {
		return
	}
	for _, c := range m.chunks {
		if c.sent && c.fut == nil && c.err == nil {
			m.p.askToYield(&c.part)
		}
	}
}
