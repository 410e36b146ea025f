package ring

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"

	"github.com/shmkit/shmkit/semaphore"
)

// prefixSize is what stands in front of each message, or piece of one, in its record: a word.
//
//	bits  0-1   kind
//	bits  2-63  of a first piece: bytes of the whole message
//
// A whole message or a first piece ends whatever was before it: a message whose sender gave up half-way needs no mark of its own.
const prefixSize = 8

const (
	wholeMessage = 0
	firstPiece   = 1
	nextPiece    = 2

	kindBits = 2
)

// A pipeSender is what an end has for sending.
type pipeSender struct {
	turn         turn
	p            *Producer            // nil: this end only receives
	most         int                  // the longest message that goes into one record
	filled, room semaphore.Eventcount // of the direction in which it sends
	count        uint64               // of records
}

// Send sends msg, waiting for room if need be, and returns when all of it is on its way; the other end may not have received it yet.
// msg is the caller's again then, and not changed. If Send fails the other end receives nothing of msg. The error is
//
//   - ctx.Err() if ctx has ended, even before the call;
//   - an [io.ErrClosedPipe] if the other end is closed;
//   - an [os.ErrClosed] if this one is, or [ErrMoved];
//   - an [os.ErrInvalid] if this end only receives;
//   - an [ErrCorrupted].
//
// Two ends that send without receiving wait for each other for ever once both directions are full.
func (e *PipeEnd) Send(ctx context.Context, msg []byte) error {
	if err := e.enter(ctx, &e.tx.turn); err != nil {
		return fail("send", ctx, err)
	}
	err := e.send(ctx, msg)
	e.tx.turn.give()
	return fail("send", ctx, err)
}

// TrySend is Send if that need not wait, for room or for other goroutines: else ok is false. The error is [ErrTooLarge] for a message
// that travels in pieces.
func (e *PipeEnd) TrySend(msg []byte) (ok bool, err error) {
	if err := e.usable(); err != nil {
		return false, fail("send", context.Background(), err)
	}
	if !e.tx.turn.tryTake() {
		return false, nil
	}
	if err := e.entered(&e.tx.turn); err != nil {
		return false, fail("send", context.Background(), err)
	}
	defer e.tx.turn.give()
	switch {
	case e.tx.p == nil:
		err = errOnlyReceives
	case len(msg) > e.tx.most:
		err = fmt.Errorf("message of %d bytes, of which %d can be sent without waiting: %w", len(msg), e.tx.most, ErrTooLarge)
	default:
		ok, err = e.put(wholeMessage, msg)
	}
	return ok, fail("send", context.Background(), err)
}

var (
	errOnlyReceives = fmt.Errorf("this end of a one-way pipe only receives: %w", os.ErrInvalid)
	errOnlySends    = fmt.Errorf("this end of a one-way pipe only sends: %w", os.ErrInvalid)
)

// fail wraps what an operation failed with, but not ctx's own error, which callers compare.
func fail(verb string, ctx context.Context, err error) error {
	if err == nil || err == ctx.Err() {
		return err
	}
	return fmt.Errorf("%s on pipe: %w", verb, err)
}

func (e *PipeEnd) send(ctx context.Context, msg []byte) error {
	switch {
	case e.tx.p == nil:
		return errOnlyReceives
	case len(msg) > e.tx.most:
		return e.sendPieces(ctx, msg)
	}
	return e.sendRecord(ctx, wholeMessage, msg)
}

// sendPieces sends a message that does not go into one record.
func (e *PipeEnd) sendPieces(ctx context.Context, msg []byte) error {
	prefix := uint64(len(msg))<<kindBits | firstPiece
	for len(msg) > 0 {
		n := min(len(msg), e.tx.most)
		if err := e.sendRecord(ctx, prefix, msg[:n]); err != nil {
			return err
		}
		prefix, msg = nextPiece, msg[n:]
		if len(msg) == 0 {
			break // it is there: nothing that ends now takes it back
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.usable(); err != nil {
			return err
		}
	}
	return nil
}

func (e *PipeEnd) sendRecord(ctx context.Context, prefix uint64, b []byte) error {
	if ok, err := e.put(prefix, b); ok || err != nil {
		return err
	}
	return e.await(ctx, e.tx.room, func() (bool, error) { return e.put(prefix, b) })
}

// put sends one record if there is room for it.
func (e *PipeEnd) put(prefix uint64, b []byte) (ok bool, err error) {
	if e.gone() {
		return false, errPeer
	}
	tx := &e.tx
	room, ok, err := tx.p.Reserve(prefixSize + len(b))
	if !ok {
		return false, err
	}
	// Plain: the bytes are this end's until Commit hands them over.
	binary.NativeEndian.PutUint64(room, prefix)
	copy(room[prefixSize:], b)
	tx.p.Commit() // killed before this: nothing was sent. After: all of it
	tx.count++
	e.mine.sent.Store(tx.count) // a full fence between the record and the look for sleepers; pairs with Announce in sleep
	tx.filled.NotifyAll()       // killed before this: the death wakes who sleeps
	return true, nil
}
