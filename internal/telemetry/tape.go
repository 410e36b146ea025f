package telemetry

import (
	"fmt"
	"slices"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/ring"
)

// A Tape is for those who read one party's events from a file: it plays copies of the ring.
type Tape struct {
	mem, check []byte
	tail       uint64 // of the last copy
	player     Player // of mem; nil at first
}

// A ring of events as docs/LAYOUT.md has it: two lines, then slots of a tag and an event.
const (
	tapeTail  = layout.Line
	tapeSlots = 2 * layout.Line
	tapeSlot  = 8 + eventBytes
)

// NewTape returns one for the parent's events, or for those of a worker.
func NewTape(parent bool) *Tape {
	n := ring.BroadcastSize(workerEvents, eventBytes)
	if parent {
		n = ring.BroadcastSize(parentEvents, eventBytes)
	}
	return &Tape{mem: aligned(n), check: aligned(n)}
}

func aligned(n int64) []byte { return layout.SliceBytes(make([]uint64, n/8)) }

// Play returns the events that were written since the last call, and how many were overwritten before they could be read. read copies the
// ring as it is.
func (t *Tape) Play(read func([]byte) error) (events []Event, missed uint64, err error) {
	if err := t.copy(read); err != nil {
		return nil, 0, err
	}
	if *layout.MustAt[uint64](t.mem, 0) == 0 { // nobody has ever had the place
		return nil, 0, nil
	}
	tail := *layout.MustAt[uint64](t.mem, tapeTail)
	if t.player.ring == nil || int64(tail-t.tail) < 0 { // somebody has begun anew
		if t.player, err = play(t.mem); err != nil {
			return nil, 0, err
		}
	}
	t.tail = tail
	for {
		e, n, ok := t.player.Next()
		if !ok {
			return events, missed, nil
		}
		events, missed = append(events, e), missed+n
	}
}

// copy copies the ring twice. A slot is as it was at one moment if nothing has changed it between the two: a writer changes the tag before
// all else. Others are taken for being written.
func (t *Tape) copy(read func([]byte) error) error {
	if err := read(t.mem); err != nil {
		return fmt.Errorf("copy events: %w", err)
	}
	if err := read(t.check); err != nil {
		return fmt.Errorf("copy events: %w", err)
	}
	for at := tapeSlots; at < len(t.mem); at += tapeSlot {
		if !slices.Equal(t.mem[at:at+tapeSlot], t.check[at:at+tapeSlot]) {
			*layout.MustAt[uint64](t.mem, int64(at)) = *layout.MustAt[uint64](t.check, int64(at)) &^ 1
		}
	}
	return nil
}
