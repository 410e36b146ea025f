package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/shmkit/shmkit/shm"
)

// queueData is how many bytes Share returns, before those of the piece: the size of the ring, the fingerprint of the items.
const queueData = 16

// Share returns what another process needs to have the queue, for [Queue.Adopt]. Package process calls it, for a
// queue in the arguments of a child. It costs a place only when the child adopts it; ended mends what the child has left.
func (q *Queue[T]) Share() (f *os.File, data []byte, ended func(), err error) {
	if !q.open.Load() {
		return nil, nil, nil, fmt.Errorf("share queue: %w", errNotOpen)
	}
	data = binary.LittleEndian.AppendUint64(nil, uint64(q.ring.total))
	data = binary.LittleEndian.AppendUint64(data, q.print)
	var more []byte
	if q.direct {
		f, more, err = q.piece.Share()
	} else {
		f, more, _, err = q.segment.Share()
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("share queue: %w", err)
	}
	return f, append(data, more...), q.mourn, nil
}

// Adopt makes q, which is new(Queue[T]), a handle of the queue that was shared, as another participant. f stays the caller's. The error
// wraps [ErrItemType] if the queue's items are of another type, and [ErrNoPlace] if it has as many participants as it can.
func (q *Queue[T]) Adopt(f *os.File, data []byte) error {
	if q.open.Load() {
		return fmt.Errorf("adopt queue: it is open: %w", os.ErrInvalid)
	}
	if f == nil || len(data) < queueData {
		return fmt.Errorf("adopt queue: a file and %d bytes, want %d or more: %w", len(data), queueData, os.ErrInvalid)
	}
	err := q.choose()
	if err == nil {
		err = q.adopt(f, data)
	}
	if err != nil {
		return fmt.Errorf("adopt queue: %w", err)
	}
	return nil
}

func (q *queueCore) adopt(f *os.File, data []byte) (err error) {
	size, print := binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])
	if print != q.print {
		return fmt.Errorf("fingerprint %#x, want %#x: %w", print, q.print, ErrItemType)
	}
	if q.direct {
		q.piece = new(shm.Piece)
		err = q.piece.Adopt(f, data[queueData:])
	} else {
		q.segment = new(shm.Segment)
		err = q.segment.Adopt(f, data[queueData:])
	}
	if err != nil {
		q.piece, q.segment = nil, nil
		return err
	}
	if err := q.join(int64(size), false); err != nil {
		return errors.Join(err, q.unmap())
	}
	return nil
}
