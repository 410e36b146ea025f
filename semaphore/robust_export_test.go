package semaphore

import (
	"reflect"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/owner"
)

// RobustBodyType, BarrierBodyType and OnceBodyType are the types of these objects in shared memory, and SeatType that of a seat.
var (
	RobustBodyType  = reflect.TypeFor[robustBody]()
	BarrierBodyType = reflect.TypeFor[barrierBody]()
	OnceBodyType    = reflect.TypeFor[onceBody]()
	RollType        = reflect.TypeFor[roll]()
	SeatType        = reflect.TypeFor[seat]()
)

// Held returns how many permits this handle on a robust semaphore has, when nobody uses it.
func (s *Semaphore) Held() int64 {
	l := s.ledger
	_, held, _ := l.account(l.load(), l.self)
	return held
}

// Owner is the ID of this process.
func (s *Semaphore) Owner() owner.ID { return s.ledger.id }

// SetOwner makes another process that of a seat, as if it had taken it.
func (s *Semaphore) SetOwner(i int, id owner.ID) { s.ledger.setOwner(i, id) }

// SetOwner makes another process that of a seat, as if it had taken it.
func (b *Barrier) SetOwner(i int, id owner.ID) { b.table.setOwner(i, id) }

func (t *table) setOwner(i int, id owner.ID) {
	t.seats[i].owner.Store(uint64(id))
	t.joined.Add(1)
}

// Unbounded makes the waiters of o sleep until they are woken.
func (o *Once) Unbounded() { o.queue.step = -1 }

// Unbounded makes the waiters of b sleep until they are woken.
func (b *Barrier) Unbounded() { b.queue.step = -1 }

// Word returns the word that says how far the barrier is, and Changed the eventcount.
func (b *Barrier) Word() *atomic.Uint64    { return &b.body.word }
func (b *Barrier) Changed() *atomic.Uint32 { return &b.body.changed }

// Resets returns the count of resets.
func (b *Barrier) Resets() *atomic.Uint64 { return &b.body.resets }

// End returns the word that says where epoch i ended.
func (b *Barrier) End(i int) *atomic.Uint64 { return &b.body.ends[i] }

// Word returns the word that says who does it, and Changed the eventcount.
func (o *Once) Word() *atomic.Uint64    { return &o.body.word }
func (o *Once) Changed() *atomic.Uint32 { return &o.body.changed }

// Self is the ID of this process.
func (o *Once) Self() owner.ID { return o.id }

// Asleep reports that somebody waits on this handle and has announced itself.
func (o *Once) Asleep() bool { return !o.queue.Idle() && o.body.changed.Load()&waiting != 0 }

// BrokenWord is the word of a broken barrier in that epoch and round.
func BrokenWord(epoch, number uint64) uint64 {
	return (number<<epochBits|epoch)<<roundShift | brokenBit
}

// RoundWord is the word of a barrier at which nobody has arrived in that epoch and round.
func RoundWord(epoch, number uint64) uint64 { return BrokenWord(epoch, number) &^ brokenBit }

// Owner is the ID of this process.
func (b *Barrier) Owner() owner.ID { return b.table.id }

// Vacant reports whether nobody has that seat, which somebody had.
func (b *Barrier) Vacant(i int) bool { return b.table.seats[i].owner.Load() == vacant }

// Late arrives, and returns a look at what became of the round.
func (b *Barrier) Late() (look func() (ended bool, err error)) {
	a, err := b.arrive()
	if err != nil {
		panic(err)
	}
	return func() (bool, error) { return b.fate(a) }
}

// Rouse wakes all who wait.
func (b *Barrier) Rouse() { b.eventcount().Rouse() }

// Marked reports whether who has that seat, or had it, has waited since it took it.
func (b *Barrier) Marked(i int) bool { return b.table.seats[i].count.Load() != 0 }

// Recover looks whether anybody has died.
func (b *Barrier) Recover() { b.table.recover() }

// Recover looks whether anybody has died.
func (s *Semaphore) Recover() { s.ledger.recover() }

// Asleep reports that somebody waits on this handle and has announced itself.
func (b *Barrier) Asleep() bool { return !b.queue.Idle() && b.body.changed.Load()&waiting != 0 }

// Waiters returns how many goroutines wait on this handle.
func (o *Once) Waiters() int { return int(o.queue.waiters.Load()) }
