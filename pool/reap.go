package pool

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/shm"
)

// reapAtOnce is how many reports of a worker are read before they are acted on: the lines of
// their slots come at the same time, and not one after the other.
const reapAtOnce = 16

// reap takes what the workers have finished and returns how many reports it found. The
// caller holds mu. At most about one ring's worth of reports is taken from each worker, so
// that none can keep the parent busy for ever.
func (p *Pool) reap() (n int) {
	if p.phase == gone || p.moving != nil {
		return 0
	}
	for _, m := range p.members {
		if m.vacant {
			continue
		}
		if !m.reported {
			p.report(m)
		}
		n += p.reapFrom(m)
		p.noticeMemory(&p.mem.workers[m.index])
		p.noticeRetired(m)
	}
	if p.unhinted {
		p.rehint()
	}
	return n
}

func (p *Pool) reapFrom(m *member) (n int) {
	var slots [reapAtOnce]uint32
	for n < p.mem.geo.slots {
		found := m.done.Next(slots[:])
		if found > 1 || p.nearby > 0 {
			p.prefetch(slots[:found])
		}
		for _, i := range slots[:found] {
			p.settle(i, m)
		}
		n += found
		if found < len(slots) {
			break
		}
	}
	if n > 0 {
		m.done.Drop()
	}
	return n
}

func (p *Pool) prefetch(slots []uint32) {
	for _, i := range slots {
		if int(i) < len(p.mem.slots) {
			sys.PrefetchWrite(&p.mem.slots[i].word)
			sys.PrefetchRead(p.mem.resNear(i)[:p.nearby])
		}
	}
}

// settle acts on worker m's report about slot i: a hint, which may be stale.
func (p *Pool) settle(i uint32, m *member) {
	if int(i) >= len(p.entries) {
		p.corrupted("worker %d reports slot %d of %d", m.pid(), i, len(p.entries))
		return
	}
	e := &p.entries[i]
	w := word(p.mem.slots[i].word.Load()) // pairs with the CAS in worker.finish
	if !e.live || p.moving != nil {
		return
	}
	switch w {
	case makeWord(done, m.incarnation, e.gen):
		p.collect(i, m, false)
	case makeWord(failed, m.incarnation, e.gen):
		p.collect(i, m, true)
	}
}

// collect takes the result of slot i, which m has finished, and frees the slot.
func (p *Pool) collect(i uint32, m *member, isError bool) {
	e := &p.entries[i]
	s := &p.mem.slots[i]
	kind, n := s.resKind, s.resLen // plain: the word handed them over
	pr, out := e.task, e.out
	if e.quarantined {
		_ = p.corrupted("worker %d, which was killed, has ended a task afterwards", m.pid())
		return
	}
	if pr != nil && pr.part() != nil {
		least := uint64(1) // an item that fails is none of them
		if isError || e.expired {
			least = 0
		}
		if !p.endPart(i, pr.part(), least) {
			p.corrupted("worker %d claims impossible progress in a chunk", m.pid())
			return
		}
	}
	e.task = nil
	e.ahead = false // whoever claimed it took its hint, or is about to: one that is stolen may leave a stale one
	var ok bool
	switch kind {
	case inline, near:
		src := s.res[:]
		p.nearby = 0
		if kind == near {
			src = p.mem.resNear(i)
			p.nearby = min(n, nearBytes)
		}
		if ok = n <= uint64(len(src)); ok && !isError && e.def.lends {
			p.collectRefs(i, m, pr, src[:n:n], shm.Block{})
		} else if ok {
			if pr != nil {
				raw, err := pr.def.take(out, src[:n], isError)
				p.conclude(pr, raw, nil, cmp.Or(e.late(isError), err))
			}
			p.retire(i)
			p.ended()
		}
	case distant:
		ok = p.collectDistant(i, m, pr, out, n, isError)
	}
	if ok && !isError {
		p.tallies.Add(telemetry.ResultBytes, n)
	}
	if !ok {
		p.conclude(pr, nil, nil, p.corrupted("worker %d claims a result of %d bytes at place %d", m.pid(), n, kind))
	}
}

// take copies a result out of src, the worker's memory, before it is looked at: a hostile
// worker may go on writing. A pointer-free result is copied to where it is going; raw is one that is
// yet to be decoded.
func (d *definition) take(out, src []byte, isError bool) (raw []byte, err error) {
	if !isError && d.result != nil {
		if err := d.result.Accept(out, src); err != nil {
			return nil, fmt.Errorf("%s: take result: %w", d.name, err)
		}
		return nil, nil
	}
	raw = append(make([]byte, 0, len(src)), src...)
	if isError {
		return nil, decodeRemote(d.name, raw)
	}
	return raw, nil
}

// conclude finishes a promise, which may be nil, with what was taken, unless it has been given up meanwhile.
func (p *Pool) conclude(pr *promise, raw []byte, refs *delivery, err error) {
	if pr == nil || pr.finished() {
		refs.discard()
		return
	}
	if err != nil && !pr.hasAll() {
		refs.discard()
		if err == context.DeadlineExceeded { // from late
			p.timedOut()
		} else {
			p.failed(pr.def, err)
		}
		pr.fail(err)
		return
	}
	if pr.part() == nil {
		p.tallies.Add(telemetry.Succeeded, 1)
	}
	if raw != nil {
		pr.extend().raw = raw
		pr.more.refs = refs
	}
	pr.finish()
}

// copyHere is the size up to which a result is copied under the lock.
const copyHere = 32 << 10

// collectDistant takes a result from the arena.
func (p *Pool) collectDistant(i uint32, m *member, pr *promise, out []byte, n uint64, isError bool) bool {
	res := &p.mem.slots[i].res
	off, word := binary.LittleEndian.Uint64(res[:]), binary.LittleEndian.Uint64(res[8:])
	if n == 0 || n > math.MaxInt64 || off > math.MaxInt64 { // no result of 0 bytes is there
		return false
	}
	b, err := p.store.Find(int64(off), int64(n), word)
	if err != nil || b.Holder() != workerHolder(m.incarnation) {
		return false
	}
	b, ok := p.store.Give(b, parentHolder) // so that the worker's death does not free it
	if !ok {
		return false
	}
	src := p.store.Bytes(b)[:n:n]
	if !isError && p.entries[i].def.lends {
		p.collectRefs(i, m, pr, src, b)
		return true
	}
	t := taking{pr: pr, src: src, out: out, isError: isError, block: b, err: p.entries[i].late(isError)}
	p.retire(i)
	p.take(t, len(src))
	return true
}

// collectRefs takes a result with a table of references, which lies in src, and in a block of its own if that has a capacity.
func (p *Pool) collectRefs(i uint32, m *member, pr *promise, src []byte, b shm.Block) {
	refs, body, err := p.receive(i, m, src)
	if err != nil {
		err = fmt.Errorf("%s: take result: %w", p.entries[i].def.name, err)
	}
	if pr != nil && (pr.more == nil || pr.more.wake == nil) { // a Call sees to its result itself
		refs.mayBeForgotten()
	}
	t := taking{pr: pr, src: body, refs: refs, err: err, block: b}
	if b.Cap == 0 {
		t.src, t.private = append(make([]byte, 0, len(body)), body...), true // the slot is somebody else's soon
	}
	p.retire(i)
	p.take(t, len(body)+refs.lent())
}

// A taking is a result on its way into private memory.
type taking struct {
	pr      *promise // nil if nobody wants it
	src     []byte
	private bool   // src is so already
	out     []byte // where a pointer-free result goes
	isError bool
	refs    *delivery
	err     error     // why it cannot be taken
	block   shm.Block // to be freed afterwards; Cap is 0 if there is none
}

// copy does the copying.
func (t *taking) copy() (raw []byte, err error) {
	switch {
	case t.err != nil || t.pr == nil:
		return nil, t.err
	case t.private:
		raw = t.src
	default:
		raw, err = t.pr.def.take(t.out, t.src, t.isError)
	}
	t.refs.copyLent()
	return raw, err
}

// take copies a result of n bytes in all and ends its task. Much is copied by a goroutine of its own, so that nobody waits for
// it but its task.
func (p *Pool) take(t taking, n int) {
	if n <= copyHere || t.pr == nil {
		raw, err := t.copy()
		p.taken(&t, raw, err)
		return
	}
	p.inside++
	p.copying++
	go p.takeAside(t)
}

func (p *Pool) takeAside(t taking) {
	raw, err := t.copy()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copying--
	p.taken(&t, raw, err)
	p.exitLocked(1)
}

// taken ends a task whose result was copied.
func (p *Pool) taken(t *taking, raw []byte, err error) {
	if t.block.Cap > 0 {
		p.home.free(t.block)
	}
	if t.refs != nil {
		t.refs.freeLent()
	}
	p.conclude(t.pr, raw, t.refs, err)
	p.ended()
}

// retire frees slot i and its argument. Nobody else writes the word of a finished task, so
// a store will do.
func (p *Pool) retire(i uint32) {
	e := &p.entries[i]
	p.unload(i)
	p.timeKept(e)
	p.arrived(i)
	e.live, e.task, e.out = false, nil, nil
	sys.ReleaseStore64(&p.mem.slots[i].word, uint64(makeWord(free, 0, e.gen)))
	p.freeArgument(e.block)
	e.block = shm.Block{}
	p.releaseSlot(i)
}

// ended counts a task as ended.
func (p *Pool) ended() {
	p.owe(-1)
	p.endings++
	if p.phase != open || p.draining > 0 {
		p.checkIdle()
		p.outside.Broadcast()
	}
}

// fail ends all tasks and all workers because the pool cannot go on.
func (p *Pool) fail(err error) {
	if p.broken != nil || p.phase >= terminated {
		return
	}
	p.broken = err
	p.dismissWaiters()
	p.failAll(err)
	p.killAll()
	p.endMove()
	p.checkIdle()
}
