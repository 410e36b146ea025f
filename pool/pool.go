package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// A Pool runs functions in worker processes. Its methods are safe for concurrent use.
type Pool struct {
	// The memory: replaced under mu, while nobody is inside and the reaper looks away. What is used for each task stands here, too.
	home  *estate
	mem   *memory
	store *store
	crowd crowd

	opts Options
	cpus int

	origins []origin // one for each registered function

	spinning atomic.Bool  // one goroutine at a time spins for results
	soiled   atomic.Bool  // tidy will come
	size     atomic.Int32 // workers that there should be; set under mu

	forgettable atomic.Int64 // results with blocks that nobody has waited for

	parked   atomic.Int64  // goroutines that sleep until a result comes, or are woken and do not run yet
	kick     chan struct{} // wakes the reaper; has room for one
	idle     chan struct{} // closed when a closing pool has nothing left to do
	closed   chan struct{} // closed when nothing of the pool is left
	quit     chan struct{} // closed when no worker is to be started any more
	teardown sync.Once
	reaper   sync.WaitGroup
	watchers sync.WaitGroup // who waits for workers

	mu           sync.Mutex // guards what follows
	phase        phase
	started      bool          // every worker was ready once
	broken       error         // why the pool cannot go on
	inside       int           // who reads or writes the mapping without the lock
	outside      sync.Cond     // signalled when nobody is, when a worker or a task has ended in a pool that waits for it, and at the end
	moving       chan struct{} // closed once the pool has new memory; nil while it gets none
	draining     int           // who waits until no task is left
	watching     *estate       // the reaper's
	late         int           // workers that had to be killed when the pool was closed
	dryMoves     int           // times that the pool got new memory, in a row, without a task having succeeded
	successes    uint64        // that had, the last time
	undead       int           // workers that were killed and have not died
	observing    bool          // makeRounds will come
	rounds       *time.Timer
	roundsUntil  uint64 // endings at the last look
	entries      []entry
	freeSlots    []uint32
	ready        *ring.HintsProducer
	unhinted     bool
	freed        chan struct{} // closed, and made anew, when memory is freed while somebody waits for some
	starving     int           // who waits for memory
	arguments    int64         // bytes of blocks that hold arguments
	freeings     uint64        // of blocks
	copying      int           // results that are just copied
	starvation   starvation
	timed        int           // tasks with a timeout
	tick         time.Duration // between two looks at them
	ticking      bool
	clock        *time.Timer // runs while ticking
	woken        bool        // a goroutine was made runnable since the spinner looked
	nearby       uint64      // bytes of the last result, if it lay beside its slot: the next may, too
	waking       bool        // the worker for the last task was asleep
	members      []*member
	incarnation  uint32
	outstanding  int    // tasks, or chunks of them, accepted and not yet ended: changed by owe
	endings      uint64 // of those
	watched      int    // promises and others for whom the reaper works
	pace         pace   // of the ends of tasks
	resting      bool   // the reaper waits for kick
	dormant      bool   // it sleeps on its bell instead, without a bound
	lastAccepted uint64 // when it last began to rest
	waiters      []*slotWaiter

	tallies telemetry.Tallies
	telling telling
	crashes int // for which there are crash files
}

// A phase is where a pool stands in its life.
type phase uint8

const (
	open       phase = iota
	closing          // finishes what was accepted
	stopping         // all tasks have ended: the workers are to end
	terminated       // tasks were dropped, the workers killed
	gone             // the memory is unmapped
)

// New starts the workers and returns when all of them are ready. It fails, leaving
// nothing behind, if Main has not run, if an option makes no sense, if there is not
// enough memory, or if a worker cannot start or Init fails in it.
func New(o Options) (*Pool, error) {
	if !process.Ready() {
		return nil, fmt.Errorf("new pool: %w", ErrMain)
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("new pool: %w", err)
	}
	if err := cmp.Or(o.Init.err, o.OnExit.err); err != nil {
		return nil, fmt.Errorf("new pool %q: %w", o.Name, err)
	}
	home, err := newEstate(o)
	if err != nil {
		return nil, fmt.Errorf("new pool %q: %w", o.Name, err)
	}
	p := newPool(o, home)
	if err := p.start(); err != nil {
		p.Terminate()
		return nil, fmt.Errorf("new pool %q: %w", o.Name, cmp.Or(p.broken, err)) // what it was killed for, rather than that it was
	}
	return p, nil
}

// newPool makes the books of a pool whose memory is home.
func newPool(o Options, home *estate) *Pool {
	p := &Pool{
		watching: home, opts: o, cpus: o.cpus,
		kick: make(chan struct{}, 1), idle: make(chan struct{}), closed: make(chan struct{}), quit: make(chan struct{}),
		entries: make([]entry, o.Queue), ready: home.mem.ready.Producer(0), freed: make(chan struct{}),
	}
	p.occupy(home)
	p.showIn(home.mem)
	p.outside.L = &p.mu
	p.wish(o.Workers)
	for _, def := range registry.defs { // none is added after Main
		p.origins = append(p.origins, origin{pool: p, def: def})
	}
	for i := o.Queue - 1; i >= 0; i-- {
		p.freeSlots = append(p.freeSlots, uint32(i))
	}
	return p
}

// start starts the reaper and the workers and waits until all are ready.
func (p *Pool) start() error {
	p.reaper.Go(p.reapLoop)
	p.mu.Lock()
	for i := range p.workers() {
		m := p.newMember(i)
		m.vacant = false
		p.members = append(p.members, m)
	}
	members := p.members
	p.count()
	p.mu.Unlock()
	if err := p.launchAll(members); err != nil {
		return err
	}
	for _, m := range members {
		<-m.up
		p.mu.Lock()
		err := m.startErr
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = true
	p.adjust() // one may have died since it was ready
	return p.broken
}

// launchesAtOnce bounds the descriptors that starts take for a moment.
const launchesAtOnce = 4

// launchAll starts the workers, some at once: those that run already are in the way of the others.
func (p *Pool) launchAll(members []*member) (err error) {
	errs := make(chan error, len(members))
	var launches sync.WaitGroup
	for first := range min(launchesAtOnce, len(members)) {
		launches.Go(func() {
			for i := first; i < len(members); i += launchesAtOnce {
				errs <- p.launch(members[i])
			}
		})
	}
	launches.Wait()
	for range members {
		err = cmp.Or(err, <-errs)
	}
	return err
}

// Close waits until every accepted task has ended, ends the workers and frees
// everything. Tasks that are submitted meanwhile get ErrClosed. Closing twice is fine:
// the second call waits for the first.
func (p *Pool) Close() error { return p.CloseContext(context.Background()) }

// CloseContext is Close with a bound: when ctx ends, the tasks that are left are
// dropped as by Terminate, and the error, which wraps ctx's, says how many. An error also says which workers had to be killed.
func (p *Pool) CloseContext(ctx context.Context) error {
	p.mu.Lock()
	if p.phase == open {
		p.phase = closing
		p.dismissWaiters()
		p.feed()
		p.watch() // until all have ended
		p.checkIdle()
		p.outside.Broadcast()
	}
	p.mu.Unlock()
	err := p.awaitIdle(ctx)
	if err != nil {
		p.drop()
	}
	p.tearDown()
	return p.account(err)
}

// account says what a pool that was to be closed in order, and was not if err says why, has left undone.
func (p *Pool) account(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("%d tasks were dropped: %w", p.tallies.Value(telemetry.Dropped), err)
	}
	if p.late > 0 {
		err = errors.Join(err, fmt.Errorf("%d workers had not ended after %v and were killed", p.late, stopTimeout))
	}
	if p.undead > 0 {
		err = errors.Join(err, fmt.Errorf("%d workers were killed and have not died", p.undead))
	}
	if err != nil {
		err = fmt.Errorf("close pool %q: %w", p.opts.Name, err)
	}
	return err
}

// Terminate ends all workers at once. Tasks that have not ended get ErrClosed; Stats says how many they were.
func (p *Pool) Terminate() {
	p.drop()
	p.tearDown()
}

// drop kills the workers and fails all tasks.
func (p *Pool) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase >= terminated {
		return
	}
	p.phase = terminated
	p.dismissWaiters()
	failed := p.tallies.Value(telemetry.Failed)
	p.failAll(fmt.Errorf("pool %q was terminated: %w", p.opts.Name, ErrClosed))
	p.tallies.Set(telemetry.Dropped, p.tallies.Value(telemetry.Failed)-failed)
	p.killAll()
	p.endMove()
	p.checkIdle()
}

// failAll ends every task that is in the table. Its slot stays taken: a worker that is
// not dead yet may still write to it.
func (p *Pool) failAll(err error) { p.failAllBut(err, func(*entry) bool { return false }) }

func (p *Pool) failAllBut(err error, spared func(e *entry) bool) {
	for i := range p.entries {
		e := &p.entries[i]
		if e.live && e.task != nil && !spared(e) {
			p.withdraw(uint32(i))
			p.tallies.Add(telemetry.Failed, e.task.items())
			e.task.fail(fmt.Errorf("%s: %w", e.def.name, err)) // each its own
			e.task = nil
		}
	}
	p.feed()
}

// checkIdle tells those who close the pool that nothing is left to wait for.
func (p *Pool) checkIdle() {
	if p.phase >= stopping || p.phase == closing && (p.outstanding == 0 || p.broken != nil) {
		select {
		case <-p.idle:
		default:
			close(p.idle)
		}
	}
}

// tearDown ends the workers and frees everything, once; later callers wait for it.
func (p *Pool) tearDown() {
	p.teardown.Do(func() {
		close(p.quit)
		p.stopWorkers()
		p.stopReaper()
		p.mu.Lock()
		for p.inside > 0 {
			p.outside.Wait()
		}
		if p.phase >= terminated || p.broken != nil {
			p.owe(-p.outstanding) // a slot that is still taken was a dead worker's
		}
		p.phase = gone
		p.follow() // which the reaper, whose it was, does no more
		p.returnCargo()
		p.showNowhere()
		p.home.leave()
		p.mu.Unlock()
		close(p.closed)
	})
	<-p.closed
}

func programName() string { return filepath.Base(os.Args[0]) }
