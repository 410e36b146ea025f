package ring

import (
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/semaphore"
)

// An MPMC is a participant's handle of a bounded ring of items of equal size, into which any number of processes put and from
// which any number take. All methods may be called by any number of goroutines at once; they count as one participant.
//
// Items are put and taken in runs of up to 64, with as many compare-and-swaps as a single one takes:
//
//	run, ok, err := m.Reserve(64)           // slots that nobody else has; fewer if there is less room
//	for i := range run.Len() { copy(m.Slot(run, i), item[i]) }
//	err = m.Commit(run)
//
//	run, ok, err = m.Take(64)               // items that nobody else gets
//	for i := range run.Len() { use(m.Slot(run, i)) }
//	err = m.Release(run)
//
// # How it works
//
// Each slot has a word, and every change of owner is one change of the word of the first slot of a run: a compare-and-swap by who
// claims it, a store by who hands it over. See slotWord. Cursors are hints, from which participants walk over the words, from run to
// run, to where they have something to do. The invariants:
//
//   - where a run begins, another begins behind it: runs are split, and never joined. So who walks in steps of whole runs
//     meets beginnings only, however late it is.
//   - a word is of a lap before that of the position at which it is met exactly if nobody has claimed the position. Words of
//     slots inside a run may be older than that of its beginning, which makes no difference; they are
//     refreshed in one lap of each eighth of the laps that a word can tell apart, so that none is ever mistaken for a newer one.
//   - a producer claims a position only while it is less than capacity behind free, and all before free is done:
//     nobody reads or writes those slots any more.
//   - free is raised over done runs only, after tail and head were. So who has lost its way, because its own
//     hint is more than a lap old, finds it again at the shared one.
//   - a word's lap has 46 bits, or as many as a position has above the slots: at least 40. Laps are compared by their difference,
//     and the refreshed words keep that small, so that nothing happens when they wrap.
//
// FIFO is the order of claims. An item whose producer is still writing it holds up those behind it; one whose
// producer died is skipped.
//
// # Deaths
//
// A process may be killed at any instruction. The slots that it had claimed name it, and are looked at again when somebody meets
// them and cannot go on, in [MPMC.Recover], and before its place in the table is given to another. Nobody is ever
// taken for dead because time has passed: [owner.ID] has the kernel's proof.
//
// One who buries a participant marks its place, so that nobody else does at the same time; if it dies meanwhile, the next
// who looks buries both.
//
// The states of slots go back to Dmitry Vyukov's bounded MPMC queue, the words that name an owner to robust mutexes.
type MPMC struct {
	mpmcShape
	ctl   *mpmcControl
	table []place
	words []atomic.Uint64
	mem   []byte // the items

	shift   int // log2 of slots
	lapMask uint64
	lapBits int

	id    owner.ID
	self  int // place in the table; -1 before there is one
	gone  atomic.Bool
	alive func(owner.ID) bool

	estate estate

	// What this participant knows: each is where a run began. Written by its producers and its consumers; lines of their own, so that
	// these do not disturb each other.
	_     [layout.Line]byte
	next  atomic.Uint64 // of the ring's end: a lower bound
	space atomic.Uint64 // of free: a lower bound
	_     [layout.Line]byte
	first atomic.Uint64 // of the first item that nobody has claimed: a lower bound
	_     [layout.Line]byte
	looks atomic.Uint32 // how often somebody was in the way
}

// An estate is what participants have beside the ring: a queue's large items. Its functions may be nil.
type estate struct {
	passed func(r Run, still func() bool) // the run is done and about to be free; nobody claims its slots while still
	orphan func(slot int)                 // the slot's item is lost: nobody else knows of it
	heir   uint32                         // the number of this participant, who inherits
	bury   func(holder uint32)            // all that a dead holder had goes to the heir
}

// A Policy says what becomes of items that a consumer had claimed when it died.
type Policy uint32

const (
	// Redeliver gives them to others, before all that comes behind them.
	Redeliver Policy = iota
	// Drop drops them.
	Drop
)

// DefaultParticipants is how many processes can use a ring if its options say nothing.
const DefaultParticipants = 64

// MPMCOptions say what ring to make.
type MPMCOptions struct {
	Capacity     int // items, at least 1 and at most 1<<24
	ItemSize     int // bytes of each, at least 1 and at most 1<<30
	Participants int // handles at a time, at most 1024; 0: DefaultParticipants

	// OnDeath says what becomes of items that were claimed by a consumer that died before it released them. By
	// default they are given to another, so that every item is seen at least once.
	OnDeath Policy
}

func (o MPMCOptions) shape(kind layout.Kind) (mpmcShape, error) {
	places := o.Participants
	if places == 0 {
		places = DefaultParticipants
	}
	return shapeMPMC(kind, o.Capacity, o.ItemSize, places, o.OnDeath)
}

// MPMCSize returns how many bytes of memory such a ring takes.
func MPMCSize(o MPMCOptions) (int64, error) {
	s, err := o.shape(layout.KindMPMC)
	if err != nil {
		return 0, fmt.Errorf("size of MPMC ring: %w", err)
	}
	return s.total, nil
}

// InitMPMC makes mem, whose length comes from [MPMCSize], an empty ring. Nobody may use mem at the same time. It should be aligned to
// 128 bytes, and must be to 8.
func InitMPMC(mem []byte, o MPMCOptions) error {
	s, err := o.shape(layout.KindMPMC)
	if err == nil {
		err = s.format(mem, uint64(s.slots))
	}
	if err != nil {
		return fmt.Errorf("init MPMC ring: %w", err)
	}
	return nil
}

// format makes an empty ring whose first item gets position pos, at which a run may begin.
func (s *mpmcShape) format(mem []byte, pos uint64) error {
	if int64(len(mem)) != s.total {
		return fmt.Errorf("memory of %d bytes, it takes %d", len(mem), s.total)
	}
	m, err := s.open(mem)
	if err != nil {
		return err
	}
	here, err := owner.Namespace()
	if err != nil {
		return err
	}
	clear(mem[:s.data]) // plain: nobody else uses it yet
	m.ctl.namespace = here
	m.ctl.tail.Store(pos)
	m.ctl.head.Store(pos)
	m.ctl.free.Store(pos)
	for i := range uint64(s.slots) { // as the lap before would have left them
		at := pos + i
		m.word(at).Store(uint64(makeSlot(slotDone, m.lap(at-uint64(s.slots)), 0, 1)))
	}
	return layout.Init(mem, s.kind, s.params()...)
}

// open finds the parts of a ring in mem, which has the right length.
func (s *mpmcShape) open(mem []byte) (m *MPMC, err error) {
	m = &MPMC{mpmcShape: *s, self: -1, alive: owner.ID.Alive, shift: bits.Len(uint(s.slots - 1))}
	m.lapBits = min(64-lapShift, 64-m.shift)
	m.lapMask = 1<<m.lapBits - 1
	if m.ctl, err = layout.At[mpmcControl](mem, 0); err != nil {
		return nil, err
	}
	if m.table, err = layout.Slice[place](mem, 5*layout.Line, s.places); err != nil {
		return nil, err
	}
	if m.words, err = layout.Slice[atomic.Uint64](mem, s.words, s.slots); err != nil {
		return nil, err
	}
	m.mem = mem[s.data:]
	return m, nil
}

// AttachMPMC makes this process a participant of the ring that InitMPMC has made in mem, which stays mapped until
// [MPMC.Detach]. The error wraps [ErrNoPlace] if there are as many participants as there can be, all of them alive.
func AttachMPMC(mem []byte) (*MPMC, error) {
	if err := sys.CheckFutex(); err != nil {
		return nil, fmt.Errorf("attach MPMC ring: %w", err)
	}
	m, err := openMPMC(mem, layout.KindMPMC)
	if err == nil {
		err = m.attach()
	}
	if err != nil {
		return nil, fmt.Errorf("attach MPMC ring: %w", err)
	}
	return m, nil
}

func openMPMC(mem []byte, kind layout.Kind) (*MPMC, error) {
	s, err := readShape(mem, kind)
	if err != nil {
		return nil, err
	}
	m, err := s.open(mem)
	if err != nil {
		return nil, err
	}
	if err := owner.CheckNamespace(kind, m.ctl.namespace); err != nil {
		return nil, err
	}
	m.next.Store(m.ctl.tail.Load())
	m.first.Store(m.ctl.head.Load())
	m.space.Store(m.ctl.free.Load())
	return m, nil
}

// Cap returns how many items the ring can hold.
func (m *MPMC) Cap() int { return m.capacity }

// Len returns how many items lay in the ring a moment ago, those included that somebody was writing or reading.
func (m *MPMC) Len() int {
	free, _, err := m.advance()
	end, _, err2 := m.end()
	if err != nil || err2 != nil {
		return 0
	}
	return int(min(end-free, uint64(m.capacity)))
}

// Items returns what is notified when items were put, or the ring was closed.
//
// A Commit wakes as many as it has put items. But the first of them may have to wait for an item before its own, and the Commit of that one
// wakes another. So who was woken and has taken what it wants calls Notify(1) while Len is not 0. Sleeps have a bound: see
// [semaphore.FencingEventcountOn].
func (m *MPMC) Items() semaphore.Eventcount { return semaphore.FencingEventcountOn(&m.ctl.items) }

// Room returns what is notified when items were released, or the ring was closed. It is used as Items is: who was woken and has put
// what it wants calls Notify(1) while Len is less than Cap.
func (m *MPMC) Room() semaphore.Eventcount { return semaphore.FencingEventcountOn(&m.ctl.room) }

// idle is what is notified when nothing may be left to do.
func (m *MPMC) idle() semaphore.Eventcount { return semaphore.FencingEventcountOn(&m.ctl.idle) }

// Close lets nobody put any more: Reserve fails with [ErrClosed] for all participants, and Take with [io.EOF] when
// what was committed before has been taken.
func (m *MPMC) Close() {
	m.ctl.closed.Store(1) // pairs with the loads in Reserve and Take
	m.wakeAll()
}

// Closed reports whether the ring was closed.
func (m *MPMC) Closed() bool { return m.ctl.closed.Load() != 0 }

func (m *MPMC) wakeAll() {
	m.Items().NotifyAll()
	m.Room().NotifyAll()
	m.idle().NotifyAll()
	semaphore.EventcountOn(&m.ctl.memory).NotifyAll()
}

func (m *MPMC) word(pos uint64) *atomic.Uint64 { return &m.words[pos&uint64(len(m.words)-1)] }

func (m *MPMC) lap(pos uint64) uint64 { return pos >> m.shift & m.lapMask }

// age is by how many laps w is older than position pos: 0 if it says something about it.
func (m *MPMC) age(pos uint64, w slotWord) int64 {
	unused := 64 - m.lapBits
	return int64((m.lap(pos)-w.lap())<<unused) >> unused
}

// raise makes a cursor at least to.
func raise(cursor *atomic.Uint64, to uint64) {
	for {
		at := cursor.Load()
		if int64(to-at) <= 0 || cursor.CompareAndSwap(at, to) { // pairs with whoever loads it to find its way
			return
		}
	}
}

// pass raises a shared hint behind a claim of r, if it is time.
func (m *MPMC) pass(hint *atomic.Uint64, r Run) {
	if end := r.end(); (r.pos^end)/hintStride != 0 {
		raise(hint, end)
	}
}

// A Run is some slots of a ring, one behind the other.
type Run struct {
	pos uint64
	n   int
}

func (r Run) end() uint64 { return r.pos + uint64(r.n) }

// Len returns how many slots they are.
func (r Run) Len() int { return r.n }

// Slot returns the memory of slot i of a run that the caller has reserved or taken: ItemSize bytes, aligned to 8. It is the
// caller's until Commit or Release.
func (m *MPMC) Slot(r Run, i int) []byte {
	if uint(i) >= uint(r.n) {
		panic(fmt.Sprintf("ring: slot %d of a run of %d", i, r.n))
	}
	at := m.slot(r.pos+uint64(i)) * m.stride
	return m.mem[at : at+m.item : at+m.item]
}

func (m *MPMC) slot(pos uint64) int { return int(pos & uint64(len(m.words)-1)) }
