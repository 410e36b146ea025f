package semaphore

import (
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

const (
	// BarrierSize is how many bytes of shared memory a [Barrier] takes.
	BarrierSize = layout.Line + rememberedResets*8 + (1+Seats)*layout.Line

	// MaxParties is how many parties a [Barrier] can be for.
	MaxParties = 1<<partyBits - 1

	// rememberedResets is of how many resets it is known what became of the rounds before.
	rememberedResets = 64
)

// barrierBody is a Barrier in shared memory.
type barrierBody struct {
	_      structs.HostLayout
	header layout.Header // parameters 0: the parties; 4: see owner.Init

	word    atomic.Uint64 // a barrierWord; every change is a compare-and-swap
	changed atomic.Uint32 // an eventcount: notified when a round has ended
	_       [4]byte

	// resets counts the resets, in full: the word has room for the low bits of it alone. It is raised before the word comes to the next
	// epoch, by a compare-and-swap: so it is the number of the word's epoch, or one more. See [Barrier.resetsAt].
	resets atomic.Uint64

	_ [layout.Line - layout.HeaderSize - 24]byte

	// ends tells where each epoch ended: entry e modulo their number is the broken word of epoch e, from before the word came to a
	// later one. Who resets writes it, by a compare-and-swap.
	ends [rememberedResets]atomic.Uint64

	roll roll // a seat's count is the last round in which it waited: see markOf
}

var _ = layout.Sized[barrierBody](BarrierSize)

// A barrierWord says how far a barrier is. From low to high: 16 bits of how many have arrived in this round; whether it is
// broken; and what names the round: 15 bits of epoch, which is raised by each reset, and 32 bits of its number, which is raised
// when all have arrived.
//
//	(e, n), k of parties -> (e, n), k+1      somebody arrives
//	(e, n), parties - 1  -> (e, n+1), 0      the last arrives: the round has passed
//	(e, n), k            -> (e, n), k broken somebody breaks it
//	(e, n), k broken     -> (e+1, n), 0      somebody resets it, after ends[e] says the same and resets is e+1
//
// So round (e, n) has passed exactly if epoch e comes, or came, to a number after n.
//
// The epoch wraps after 32,768 resets. Who waits has noted how many there were, and goes by the word only while they are few more. The number
// wraps after 2^32 rounds: one who waits is told wrong if as many pass, or a multiple, without it and without a reset, before it looks.
type barrierWord uint64

const (
	partyBits  = 16
	brokenBit  = 1 << partyBits
	roundShift = partyBits + 1
	epochBits  = 15
	epochMask  = 1<<epochBits - 1
)

func (w barrierWord) count() int     { return int(w & MaxParties) }
func (w barrierWord) broken() bool   { return w&brokenBit != 0 }
func (w barrierWord) round() uint64  { return uint64(w >> roundShift) }
func (w barrierWord) epoch() uint64  { return w.round() & epochMask }
func (w barrierWord) number() uint64 { return w.round() >> epochBits }

// passed is the word when the last party of w's round has arrived.
func (w barrierWord) passed() barrierWord {
	return barrierWord(w.epoch()|(w.number()+1)<<epochBits) << roundShift
}

// reset is the word after a reset of the broken w.
func (w barrierWord) reset() barrierWord {
	return barrierWord((w.epoch()+1)&epochMask|w.number()<<epochBits) << roundShift
}

// markOf is what a seat says that waits, or is about to, in w's round. It is not 0.
func markOf(w barrierWord) uint64 { return w.round()<<roundShift | 1 }

func formatBarrier(mem []byte, parties int) error {
	if parties < 1 || parties > MaxParties {
		return fmt.Errorf("%d parties: want 1 to %d", parties, MaxParties)
	}
	if _, err := barrierAt(mem); err != nil {
		return err
	}
	clear(mem[:BarrierSize]) // plain: nobody else uses it yet
	return owner.Init(mem[:BarrierSize], layout.KindBarrier, uint64(parties))
}

func joinBarrier(mem []byte) (b *barrierBody, parties int, err error) {
	if b, err = barrierAt(mem); err != nil {
		return nil, 0, err
	}
	params, err := owner.Check(mem[:BarrierSize], layout.KindBarrier)
	if err != nil {
		return nil, 0, err
	}
	if p := params[0]; p < 1 || p > MaxParties {
		return nil, 0, fmt.Errorf("%d parties: %w", p, ErrCorrupted)
	}
	return b, int(params[0]), nil
}

func barrierAt(mem []byte) (*barrierBody, error) {
	if len(mem) < BarrierSize {
		return nil, fmt.Errorf("memory of %d bytes, a barrier takes %d", len(mem), BarrierSize)
	}
	return layout.At[barrierBody](mem, 0)
}
