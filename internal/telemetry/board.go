package telemetry

import (
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// A Count names one number that the parent keeps.
type Count int

// What a parent counts. All but Outstanding and Wanted only grow.
const (
	Accepted Count = iota
	Succeeded
	Failed
	Cancelled
	Dropped
	Outstanding // tasks that are accepted and have not ended
	Wanted      // workers that there should be
	Started     // worker processes
	Deaths      // of workers, but for those that retired
	Rebuilds
	Timeouts // tasks whose time was up
	Retried  // tasks that began again after a death
	Woken    // workers by the parent
	ArgumentBytes
	ResultBytes

	NumCounts // how many there are
)

var countNames = [...]string{"accepted", "succeeded", "failed", "cancelled", "dropped", "outstanding", "wanted", "started", "deaths",
	"rebuilds", "timeouts", "retried", "woken", "argument_bytes", "result_bytes"}

func (c Count) String() string { return countNames[c] }

// Counts lists all of them.
func Counts() []Count {
	all := make([]Count, NumCounts)
	for i := range all {
		all[i] = Count(i)
	}
	return all
}

// MaxName is how much of a pool's name is kept, in bytes.
const MaxName = 64

// Board is what the parent says of the pool.
type Board struct {
	_ structs.HostLayout

	// Constant once workers start.

	Parent  uint64 // its owner.ID
	Born    int64  // when the pool was made, whatever memory it has had: nanoseconds of the monotonic clock
	Wall    int64  // the same moment in nanoseconds since 1970
	nameLen uint64
	name    [MaxName]byte

	left     atomic.Uint64 // a Departure
	Requests Requests      // written by whoever wants something of the parent, and by that
	_        [layout.Line - 48 - MaxName]byte

	counts [2 * layout.Line / 8]atomic.Uint64 // by Count; written by the parent, under its lock
}

const boardBytes = 3 * layout.Line

var _ = layout.Sized[Board](boardBytes)

// A Departure says why the parent does not use the memory any more.
type Departure uint64

// The reasons.
const (
	InUse  Departure = iota
	Closed           // the pool was closed
	Moved            // the pool has other memory
)

// Leave says that the parent is about to leave.
func (b *Board) Leave(d Departure) { b.left.Store(uint64(d)) } // pairs with the load in Left

// Left reports whether the parent has left.
func (b *Board) Left() Departure { return Departure(b.left.Load()) }

// SetName keeps the beginning of name.
func (b *Board) SetName(name string) { b.nameLen = uint64(copy(b.name[:], name)) }

// Name returns what was kept.
func (b *Board) Name() string { return string(b.name[:min(b.nameLen, MaxName)]) }

// Count reads a number.
func (b *Board) Count(c Count) uint64 { return b.counts[c].Load() }

// Tallies are the parent's own record of its numbers, which it shows on a board. ShowOn comes first.
type Tallies struct {
	n     [NumCounts]uint64
	board *Board
}

// ShowOn has the numbers written to b from now on.
func (t *Tallies) ShowOn(b *Board) {
	t.board = b
	for c := range NumCounts {
		t.Set(c, t.n[c])
	}
}

// Add raises a number; a negative k, as its two's complement, lowers it.
func (t *Tallies) Add(c Count, k uint64) { t.Set(c, t.n[c]+k) }

// Set changes a number.
func (t *Tallies) Set(c Count, n uint64) {
	t.n[c] = n
	Show(&t.board.counts[c], n) // read by whoever looks on, in Board.Count
}

// Value returns a number, whatever is shown.
func (t *Tallies) Value(c Count) uint64 { return t.n[c] }
