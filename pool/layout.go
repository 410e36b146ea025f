package pool

import (
	"fmt"
	"math"
	"math/bits"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/ring"
	"github.com/shmkit/shmkit/shm"
)

// The shared bytes of a pool, in the order in which they lie in its memory. docs/LAYOUT.md
// says the same in numbers.

const (
	maxWorkers   = 1024
	maxSlots     = 1 << 20
	maxFunctions = 1 << 16

	inlineBytes = 16  // of a value, in the slot's own line
	nearBytes   = 256 // of a value, in the slot's near space
	bootBytes   = 4096
	pageBytes   = 4096
	maxMemory   = 1 << 42
)

// control holds the words that all processes look at, a line for each kind of writer.
type control struct {
	_ structs.HostLayout

	// stop is 1 once the pool wants its workers to end. Written by the parent; pairs
	// with the loads in worker.next and worker.unwanted.
	stop atomic.Uint32

	// present is how many workers there are. Written by the parent; pairs with the load in crowd.awake.
	present atomic.Uint32
	_       [layout.Line - 8]byte

	// asleep is 1 while the parent is about to sleep or sleeps on it. Set by the parent;
	// the worker that CASes it to 0 makes the system call. Pairs: bell.go.
	asleep atomic.Uint32
	_      [layout.Line - 4]byte

	idle idleSets

	// sharing has a bit for each worker that may have tasks in its batch. Set by the worker before it takes several; cleared by it when it has
	// nothing to do, and by the parent after its death. Pairs: batch.go.
	sharing [maxWorkers / 64]atomic.Uint64
}

// idleSets say what the workers without work do: a bit for each, set by the worker,
// cleared by it or by whoever wakes it, and by the parent after its death, so that no
// death can leave a count wrong. Pairs: crowd.go.
type idleSets struct {
	_        structs.HostLayout
	sleepers [maxWorkers / 64]atomic.Uint64
	spinners [maxWorkers / 64]atomic.Uint64
	nappers  [maxWorkers / 64]atomic.Uint64
}

// workerArea is what one worker and the parent say to each other.
type workerArea struct {
	_ structs.HostLayout

	// wake is the futex word on which the worker sleeps: raised by whoever wakes it.
	wake atomic.Uint32
	_    [layout.Line - 4]byte

	// Written by the parent.
	cancel    atomic.Uint64 // the task whose context has ended: see order
	cancelSeq atomic.Uint32 // futex word, raised after cancel was stored
	sweep     atomic.Uint32 // 1: give up spans without blocks before you sleep; cleared by the worker
	leave     atomic.Uint32 // 1: end at the SIGTERM that follows
	retire    atomic.Uint32 // 1: end after the task that runs
	inquiry   atomic.Uint64 // a telemetry.Request to be answered, passed on before cancelSeq is raised; 0, put by the worker: noted
	_         [layout.Line - 32]byte

	// Written by the worker; hungry and freed by the parent too.
	status atomic.Uint32 // a bootStatus
	hungry atomic.Uint32 // an appetite
	freed  atomic.Uint32 // 1: it has freed blocks; cleared by the parent
	_      [layout.Line - 12]byte

	// batch holds the slots, plus 1, that the worker has taken from the ready ring and
	// not begun. Written by the worker, read by others that have no work.
	batch [maxBatch]atomic.Uint64

	// current is the task that the worker claimed last: slot and generation, as an order without a reason. It is
	// written with each task, and read now and then while there are any: so it has a line of its own.
	current atomic.Uint64
	_       [layout.Line - 8]byte
}

// A slot is one task: a line that moves from the parent to a worker and back. All but
// the word is written by its owner alone and needs no atomics: the word hands it over.
type slot struct {
	_       structs.HostLayout
	word    atomic.Uint64
	fn      uint32 // index into the function table
	argKind place
	resKind place
	retried uint8 // 1: the task may run again, and must not change its argument
	stamped uint8 // 1: when it was accepted stands in the slot's stamp
	argLen  uint64
	resLen  uint64
	arg     [inlineBytes]byte // the argument, or where it lies; workers never write it: a retry needs it
	res     [inlineBytes]byte // the result or error, or where it lies
}

const (
	slotBytes   = 64
	workerBytes = 5 * layout.Line
	ctlBytes    = 6 * layout.Line
)

var (
	_ = layout.Sized[slot](slotBytes)
	_ = layout.Sized[workerArea](workerBytes)
	_ = layout.Sized[control](ctlBytes)
)

// A place says where a value lies.
type place uint8

const (
	inline  place = iota // in the slot
	near                 // in the slot's near space
	distant              // in the arena; the slot holds the offset and the block's word
	chunked              // many arguments in a block of the arena: see chunk.go
)

// A geometry fixes where everything lies. Parent and workers compute the rest from it.
type geometry struct {
	slots     int
	workers   int
	functions int
	table     int   // bytes of the encoded function table
	init      int   // bytes of the initialiser's name and argument
	memory    int64 // bytes of blocks in the arena
	page      int64 // in which the arena's memory is taken and given back, a power of two
}

// offsets are where the parts of a geometry begin, in bytes from the start.
type offsets struct {
	control, ready, workers, slots, near, table, init, stamps, telemetry int64
	completions, boot, records                                           int64 // with a part for each worker
	books                                                                int64 // the size of all before
	arena                                                                int64
	total                                                                int64
}

func (g geometry) offsets() offsets {
	var o offsets
	at := int64(layout.Line) // the header
	take := func(n int64) int64 {
		off := at
		at += layout.Align(n, layout.Line)
		return off
	}
	o.control = take(ctlBytes)
	o.ready = take(ring.HintsSize(g.slots))
	o.workers = take(int64(g.workers) * workerBytes)
	o.slots = take(int64(g.slots) * slotBytes)
	o.near = take(int64(g.slots) * 2 * nearBytes)
	o.table = take(int64(g.table))
	o.init = take(int64(g.init))
	o.stamps = take(int64(g.slots) * 8)
	o.telemetry = take(telemetry.CommonSize(g.workers))
	at = layout.Align(at, pageBytes)
	o.completions = take(int64(g.workers) * ring.HintsSize(g.slots))
	at = layout.Align(at, pageBytes)
	o.boot = take(int64(g.workers) * bootBytes)
	o.records = take(int64(g.workers) * telemetry.OwnSize(g.functions))
	o.books = layout.Align(at, pageBytes)
	o.arena = layout.Align(o.books, max(g.page, memoryUnit)) // whatever the system's pages are, blocks begin with one
	o.total = layout.Align(o.arena+shm.ArenaSize(g.memory, g.page), g.page)
	return o
}

// common is what all workers use, and own what only one at that place does.
func (g geometry) common() []extent { return []extent{{0, g.offsets().completions}} }

func (g geometry) own(place int) []extent {
	o, i := g.offsets(), int64(place)
	reports, records := ring.HintsSize(g.slots), telemetry.OwnSize(g.functions)
	return []extent{{o.completions + i*reports, reports}, {o.boot + i*bootBytes, bootBytes}, {o.records + i*records, records}}
}

// params packs the geometry into the header of the pool's memory.
func (g geometry) params() []uint64 {
	return []uint64{uint64(g.slots) | uint64(bits.TrailingZeros64(uint64(g.page)))<<32, uint64(g.workers) | uint64(g.functions)<<32,
		uint64(g.table), uint64(g.init), uint64(g.memory)}
}

// geometryOf is the reverse, for memory that a parent made; it checks all bounds.
func geometryOf(params [5]uint64, size int64) (geometry, error) {
	g := geometry{slots: int(params[0] & math.MaxUint32), workers: int(params[1] & math.MaxUint32),
		functions: int(params[1] >> 32), table: int(params[2]), init: int(params[3]), memory: int64(params[4]),
		page: 1 << (params[0] >> 32 & 63)}
	const most = 1 << 40
	if g.slots < 1 || g.slots > maxSlots || g.workers < 1 || g.workers > maxWorkers ||
		g.functions > maxFunctions || g.table < 0 || g.table > most || g.init < 0 || g.init > most ||
		params[0]>>32 > 40 || g.page < pageBytes || g.memory < 0 || g.memory > maxMemory || g.offsets().total != size {
		return geometry{}, fmt.Errorf("attach pool: parameters %v do not fit memory of %d bytes: %w",
			params, size, layout.ErrParams)
	}
	return g, nil
}

// A memory is a pool's shared memory, seen as what it holds.
type memory struct {
	bytes   []byte
	geo     geometry
	off     offsets
	ctl     *control
	ready   *ring.Hints
	workers []workerArea
	slots   []slot
	stamps  []atomic.Uint64 // by slot: when a stamped task was accepted, by sys.Nanotime; written before the slot's word
	told    telemetry.Common
}

// view sees b as the memory of a pool. It writes nothing.
func view(b []byte, g geometry) (*memory, error) {
	m := &memory{bytes: b, geo: g, off: g.offsets()}
	var err error
	if m.ctl, err = layout.At[control](b, m.off.control); err != nil {
		return nil, err
	}
	if m.workers, err = layout.Slice[workerArea](b, m.off.workers, g.workers); err != nil {
		return nil, err
	}
	if m.slots, err = layout.Slice[slot](b, m.off.slots, g.slots); err != nil {
		return nil, err
	}
	if m.stamps, err = layout.Slice[atomic.Uint64](b, m.off.stamps, g.slots); err != nil {
		return nil, err
	}
	if m.told, err = telemetry.ViewCommon(b[m.off.telemetry:], g.workers); err != nil {
		return nil, err
	}
	m.ready, err = ring.OpenHints(b[m.off.ready:], g.slots)
	return m, err
}

// completions is the ring in which worker i tells the parent what it has finished. It
// has room for every slot, so an honest worker never finds it full.
func (m *memory) completions(i int) *ring.Hints {
	h, err := ring.OpenHints(m.bytes[m.off.completions+int64(i)*ring.HintsSize(m.geo.slots):], m.geo.slots)
	if err != nil {
		panic(err) // the geometry was checked
	}
	return h
}

// argNear and resNear are the halves of slot i's near space.
func (m *memory) argNear(i uint32) []byte {
	off := m.off.near + int64(i)*2*nearBytes
	return m.bytes[off : off+nearBytes : off+nearBytes]
}

func (m *memory) resNear(i uint32) []byte {
	off := m.off.near + int64(i)*2*nearBytes + nearBytes
	return m.bytes[off : off+nearBytes : off+nearBytes]
}

// progress is how far the worker has come with the chunk in slot i. It lies where a single
// argument would.
func (m *memory) progress(i uint32) *progress {
	return layout.MustAt[progress](m.bytes, m.off.near+int64(i)*2*nearBytes)
}

func (m *memory) table() []byte { return m.bytes[m.off.table:][:m.geo.table] }
func (m *memory) init() []byte  { return m.bytes[m.off.init:][:m.geo.init] }

// constants are written before the first worker starts, and never again.
func (m *memory) constants() [][]byte {
	return [][]byte{m.bytes[:layout.HeaderSize], m.table(), m.init(), m.arena()[:layout.HeaderSize]}
}

// boot is where worker i explains why it cannot start.
func (m *memory) boot(i int) []byte { return m.bytes[m.off.boot+int64(i)*bootBytes:][:bootBytes] }

// records are what worker i tells of itself.
func (m *memory) records(i int) telemetry.Own {
	size := telemetry.OwnSize(m.geo.functions)
	own, err := telemetry.ViewOwn(m.bytes[m.off.records+int64(i)*size:], m.geo.functions)
	if err != nil {
		panic(err) // the geometry was checked
	}
	return own
}

// arena is where large values and blocks lie.
func (m *memory) arena() []byte {
	return m.bytes[m.off.arena:][:shm.ArenaSize(m.geo.memory, m.geo.page)]
}
