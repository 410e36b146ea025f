package semaphore

import (
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

// EventSize is how many bytes of shared memory an [Event] takes.
const EventSize = layout.Line

// The word of an event: bit 0 says that it is set, the other 63 count how often it was cleared. Every value is a valid one.
const (
	isSet    = 1
	oneClear = 2
)

// eventBody is an Event in shared memory. Its changing words share a line on purpose: whoever sets it has the line already
// when it looks for sleepers. The header is read by who attaches alone.
type eventBody struct {
	_      structs.HostLayout
	header layout.Header

	// state changes in Set, by one instruction that sets bit 0, and in Clear, by a CAS that clears it and counts up. The count
	// tells those who slept through a Set and a Clear that there was one; it comes back after 2^63 of these.
	state atomic.Uint64

	bell atomic.Uint32 // eventcount, notified after each Set

	_ [EventSize - layout.HeaderSize - 12]byte
}

var _ = layout.Sized[eventBody](EventSize)

// formatEvent makes the first bytes of mem an event that is not set.
func formatEvent(mem []byte) error {
	b, err := eventAt(mem)
	if err != nil {
		return err
	}
	b.state.Store(0)
	b.bell.Store(0)
	// The header's magic is stored last: who sees it sees all of the above.
	return layout.Init(mem[:EventSize], layout.KindEvent)
}

// joinEvent returns the event in the first bytes of mem.
func joinEvent(mem []byte) (*eventBody, error) {
	b, err := eventAt(mem)
	if err != nil {
		return nil, err
	}
	_, err = layout.Check(mem[:EventSize], layout.KindEvent)
	return b, err
}

func eventAt(mem []byte) (*eventBody, error) {
	if len(mem) < EventSize {
		return nil, fmt.Errorf("memory of %d bytes, an event takes %d", len(mem), EventSize)
	}
	return layout.At[eventBody](mem, 0)
}
