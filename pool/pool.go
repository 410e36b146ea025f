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

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
	"github.com/shmkit/shmkit/shm"
)

// A Pool runs functions in worker processes. Its methods are safe for concurrent use.
type Pool struct {
	opts  Options
	seg   *shm.Segment
	mem   *memory
	store *store
	crowd crowd
	bell  bell
	cpus  int

	origins []origin // one for each registered function

	spinning atomic.Bool // one goroutine at a time spins for results
	soiled   atomic.Bool // tidy will come

	forgettable atomic.Int64 // results with blocks that nobody has waited for

	parked   atomic.Int64  // goroutines that sleep until a result comes, or are woken and do not run yet
	kick     chan struct{} // wakes the reaper; has room for one
	idle     chan struct{} // closed when a closing pool has nothing left to do
	closed   chan struct{} // closed when nothing of the pool is left
	quit     chan struct{} // closed when no worker is to be started any more
	teardown sync.Once
	reaper   sync.WaitGroup
	users    sync.WaitGroup // who reads or writes the mapping without the lock
	watchers sync.WaitGroup // who waits for workers

	mu           sync.Mutex // guards what follows
	phase        phase
	started      bool  // every worker was ready once
	broken       error // why the pool cannot go on
	entries      []entry
	freeSlots    []uint32
	ready        *ring.HintsProducer
	unhinted     bool
	freed        chan struct{} // closed, and made anew, when memory is freed while somebody waits for some
	starving     int           // who waits for memory
	arguments    int64         // bytes of blocks that hold arguments
	freeings     uint64        // of blocks
	blocks       int           // that the program holds, and that keep the memory mapped
	unused       bool          // nobody else needs it any more
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
	outstanding  int    // tasks, or chunks of them, accepted and not yet ended
	endings      uint64 // of those
	watched      int    // promises and others for whom the reaper works
	pace         pace   // of the ends of tasks
	resting      bool   // the reaper waits for kick
	dormant      bool   // it does so without a bound
	lastAccepted uint64 // when it last began to rest
	waiters      []*slotWaiter

	accepted, succeeded, failed, cancelled uint64
	deaths, starts                         uint64
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
	p, err := build(o)
	if err != nil {
		return nil, fmt.Errorf("new pool %q: %w", o.Name, err)
	}
	if err := p.start(); err != nil {
		p.Terminate()
		return nil, fmt.Errorf("new pool %q: %w", o.Name, err)
	}
	return p, nil
}

// build makes the memory and the books of a pool.
func build(o Options) (*Pool, error) {
	table, init := encodeTable(), encodeBoth(o.Init, o.OnExit)
	page, err := o.HugePages.size()
	if err != nil {
		return nil, err
	}
	g := geometry{slots: o.Queue, workers: o.Workers, table: len(table), init: len(init), memory: o.Memory, page: page}
	off := g.offsets()
	seg, err := o.HugePages.make(o.Name, off.total)
	if err != nil {
		return nil, err
	}
	if err := seg.Reserve(0, off.books); err != nil {
		return nil, errors.Join(err, seg.Close())
	}
	m, err := view(seg.Bytes(), g)
	if err != nil {
		return nil, errors.Join(err, seg.Close())
	}
	copy(m.table(), table)
	copy(m.init(), init)
	st, err := makeStore(seg, m)
	if err != nil {
		return nil, errors.Join(err, seg.Close())
	}
	if err := layout.Init(seg.Bytes(), layout.KindPool, g.params()...); err != nil {
		return nil, errors.Join(err, seg.Close())
	}
	return newPool(o, seg, m, st), nil
}

func newPool(o Options, seg *shm.Segment, m *memory, st *store) *Pool {
	p := &Pool{
		opts: o, seg: seg, mem: m, store: st, crowd: m.crowd(), bell: m.bell(), cpus: o.cpus,
		kick: make(chan struct{}, 1), idle: make(chan struct{}), closed: make(chan struct{}), quit: make(chan struct{}),
		entries: make([]entry, o.Queue), ready: m.ready.Producer(0), freed: make(chan struct{}),
	}
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
	for i := range p.opts.Workers {
		p.members = append(p.members, p.newMember(i))
	}
	members := p.members
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
	for _, m := range members {
		if m.proc == nil { // died since it was ready
			p.replace(m, true)
		}
	}
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
// dropped as by Terminate, and ctx's error is returned.
func (p *Pool) CloseContext(ctx context.Context) error {
	p.mu.Lock()
	if p.phase == open {
		p.phase = closing
		p.dismissWaiters()
		p.feed()
		p.watch() // until all have ended
		p.checkIdle()
	}
	p.mu.Unlock()
	var err error
	select {
	case <-p.idle:
	case <-ctx.Done():
		err = ctx.Err()
		p.drop()
	}
	p.tearDown()
	return err
}

// Terminate ends all workers at once. Tasks that have not ended get ErrClosed.
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
	p.failAll(fmt.Errorf("pool %q was terminated: %w", p.opts.Name, ErrClosed))
	for _, m := range p.members {
		m.kill()
	}
	p.checkIdle()
}

// failAll ends every task that is in the table. Its slot stays taken: a worker that is
// not dead yet may still write to it.
func (p *Pool) failAll(err error) {
	for i := range p.entries {
		e := &p.entries[i]
		if e.live && e.task != nil {
			p.withdraw(uint32(i))
			p.failed += e.task.items()
			e.task.fail(err)
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

// stopTimeout is how long a worker has to end once it has nothing to do and is told to.
const stopTimeout = 5 * time.Second

// tearDown ends the workers and frees everything, once; later callers wait for it.
func (p *Pool) tearDown() {
	p.teardown.Do(func() {
		close(p.quit)
		p.stopWorkers()
		p.stopReaper()
		p.users.Wait()
		p.mu.Lock()
		p.phase = gone
		p.returnCargo()
		p.unused = true
		p.unmap()
		p.mu.Unlock()
		close(p.closed)
	})
	<-p.closed
}

// stopWorkers lets idle workers end by themselves, and ends those who do not.
func (p *Pool) stopWorkers() {
	p.mu.Lock()
	p.phase = max(p.phase, stopping)
	p.mu.Unlock()
	p.mem.ctl.stop.Store(1) // pairs with the loads in worker.next and worker.sleep
	p.crowd.wakeAll()
	deadline := time.AfterFunc(stopTimeout, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, m := range p.members {
			m.kill()
		}
	})
	defer deadline.Stop()
	p.watchers.Wait()
}

func programName() string { return filepath.Base(os.Args[0]) }
