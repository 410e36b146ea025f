package ring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// Errors of pipe ends that callers may want to tell apart, beside [io.EOF], [io.ErrClosedPipe] and [os.ErrClosed].
var (
	// ErrMoved means that the end was given to another process. It is that one's now.
	ErrMoved = errors.New("pipe end was given to another process")
	// ErrTaken means that an end cannot be adopted: somebody has adopted it already, or it was closed.
	ErrTaken = errors.New("pipe end is not on offer: it was adopted already, or closed")
)

// PipeOptions are the options of [NewPipe].
type PipeOptions struct {
	// OneWay makes a pipe whose first end only receives and whose second end only sends.
	OneWay bool
	// Capacity is how many bytes may be on their way in each direction, headers included. It is rounded up to a power of two and
	// is at least 128; 0 is 64 KiB. Messages may be longer: they travel in pieces. A pipe of 16 KiB or less lies in one memory with other small
	// objects; a larger one has a descriptor of its own.
	Capacity int
}

// A PipeEnd is one of the two ends of a pipe, which carries messages between two processes, or within one. What one end sends the other
// receives: in order, whole, each message by itself, however long or short. All methods may be called by any number of goroutines;
// messages of one goroutine stay in its order.
//
// An end belongs to one process at a time. As a field of the arguments of a child it moves there: from then on this process's handle
// answers every call with [ErrMoved], and with an [os.ErrClosed] once the child has ended. There is no copy that would keep the pipe open.
//
// # When the other end is closed
//
// By Close, by the death of its process, or because a child that was to have it ended without: Recv returns what was wholly sent before,
// and then io.EOF; Send returns [io.ErrClosedPipe]. Both do so at once, also when they are waiting.
//
// # Large messages
//
// A message that takes more than a quarter of the capacity is sent in pieces, which the receiver puts together in private memory. If
// its Send is cancelled, or its sender ends, half-way, nobody sees any of it: the receiver drops the pieces when the next message
// begins, or at io.EOF, and the pipe goes on as if that Send had never been called.
type PipeEnd struct {
	state atomic.Uint32 // unmade, open, given or closed

	pipeMem
	peer *pipeEndWords
	mine *pipeEndWords
	me   int // which end this is
	self owner.ID

	watch watch
	tx    pipeSender
	rx    pipeReceiver

	// What runs beside the calls, at the end of a context or of a process, touches the memory only under the lock, and only while
	// it is mapped.
	mapped   sync.RWMutex
	unmapped bool
	piece    *shm.Piece // nil: the memory is the caller's
}

// The states of a handle.
const (
	unmade uint32 = iota // new(PipeEnd), for Adopt
	open
	given  // to another process: what is left is to settle it
	closed // nothing is left
)

// NewPipe makes a pipe and returns its ends, both of which are this process's at first. The caller closes each, or gives it to a
// child.
func NewPipe(o PipeOptions) (a, b *PipeEnd, err error) {
	if o.Capacity < 0 || o.Capacity > maxPipe {
		return nil, nil, fmt.Errorf("make pipe: capacity of %d bytes: want 0 to %d", o.Capacity, maxPipe)
	}
	if err := sys.CheckFutex(); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	if o.Capacity == 0 {
		o.Capacity = defaultPipe
	}
	rings := 2
	if o.OneWay {
		rings = 1
	}
	if a, b, err = makePipe(o.Capacity, rings); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	return a, b, nil
}

func makePipe(capacity, rings int) (a, b *PipeEnd, err error) {
	self, err := owner.Self()
	if err != nil {
		return nil, nil, err
	}
	size, _ := pipeSize(capacity, rings)
	piece, err := shm.NewPiece("pipe", size)
	if err != nil {
		return nil, nil, err
	}
	a, b = &PipeEnd{piece: piece}, &PipeEnd{piece: new(shm.Piece)}
	f, data, err := piece.Share()
	if err == nil {
		err = b.piece.Adopt(f, data) // each handle lets go of the memory by itself
	}
	if err == nil {
		err = initPipe(piece.Bytes(), capacity, rings, self, 0)
	}
	for i, e := range []*PipeEnd{a, b} {
		if err == nil {
			err = e.attach(e.piece.Bytes(), i, self)
			e.state.Store(open)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, piece.Close(), b.piece.Close())
	}
	return a, b, nil
}

// attach makes e the handle of end me of the pipe in mem, which self holds or is about to. The caller sets the state.
func (e *PipeEnd) attach(mem []byte, me int, self owner.ID) (err error) {
	if e.pipeMem, err = openPipe(mem); err != nil {
		return err
	}
	e.me, e.self = me, self
	e.mine, e.peer = &e.control.ends[me], &e.control.ends[1-me]
	e.tx, e.rx = pipeSender{turn: newTurn()}, pipeReceiver{turn: newTurn()}
	if out := e.rings[me]; out != nil {
		if e.tx.p, err = AttachProducer(out); err != nil {
			return err
		}
		e.tx.most = e.tx.p.MaxRecord()/2 - prefixSize
		e.tx.filled, e.tx.room = e.bellsOf(me)
	}
	if in := e.rings[1-me]; in != nil {
		if e.rx.c, err = AttachConsumer(in); err != nil {
			return err
		}
		e.rx.most = (len(in) - storageOff) / 8 // so little that the longest record finds room when all was received
		e.rx.filled, e.rx.room = e.bellsOf(1 - me)
	}
	return nil
}

// Close gives the end up. The other end receives what was sent, and then io.EOF. Calls on this handle that wait, in this process,
// return an [os.ErrClosed] at once, as those do that come later. A second Close, and one of an end that was given away, does nothing.
func (e *PipeEnd) Close() error {
	if !e.state.CompareAndSwap(open, closed) {
		return nil
	}
	e.ringAll() // who waits here sees the state and leaves
	defer e.quiesce()()
	// Nobody is about to send any more: what comes after io.EOF would be lost.
	e.hangUp()
	return e.free()
}

// hangUp tells the other side. The caller has both turns.
func (e *PipeEnd) hangUp() {
	// Pairs with the load in gone. It fails only if somebody else has written into the memory. Killed before it, or before what
	// follows: the other side watches this process.
	e.mine.holder.CompareAndSwap(uint64(e.self), uint64(closedEnd))
	e.ringAll()
}

// quiesce waits until no call is in progress. The state keeps others from beginning one.
func (e *PipeEnd) quiesce() (release func()) {
	for _, t := range []*turn{&e.tx.turn, &e.rx.turn} {
		_ = t.take(context.Background()) // it does not end
	}
	return func() {
		e.tx.turn.give()
		e.rx.turn.give()
	}
}

// free lets go of the memory. The caller has both turns.
func (e *PipeEnd) free() error {
	e.watch.mu.Lock()
	e.watch.end()
	e.watch.mu.Unlock()
	e.mapped.Lock()
	defer e.mapped.Unlock()
	e.unmapped = true
	e.rx.drop()
	if e.piece == nil {
		return nil
	}
	if err := e.piece.Close(); err != nil {
		return fmt.Errorf("close pipe end: %w", err)
	}
	return nil
}

// usable returns nil, or why the handle cannot be used.
func (e *PipeEnd) usable() error {
	switch e.state.Load() {
	case open:
		return nil
	case given:
		return ErrMoved
	case closed:
		return os.ErrClosed
	}
	return fmt.Errorf("pipe end was made by neither NewPipe nor Adopt: %w", os.ErrInvalid)
}

// enter makes it the caller's turn to send, or to receive.
func (e *PipeEnd) enter(ctx context.Context, t *turn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.usable(); err != nil {
		return err
	}
	if !t.tryTake() {
		if err := t.take(ctx); err != nil {
			return err
		}
	}
	return e.entered(t)
}

// entered looks again once it is the caller's turn: from here on nobody takes the memory away.
func (e *PipeEnd) entered(t *turn) error {
	err := e.usable()
	if err != nil {
		t.give()
	}
	return err
}

// errPeer is what sending to an end that is closed returns.
var errPeer = fmt.Errorf("the other end of the pipe is closed: %w", io.ErrClosedPipe)

// kick has those who sleep on the eventcount look again, from outside of a call: see kickWhen.
func (e *PipeEnd) kick(on semaphore.Eventcount) {
	e.mapped.RLock()
	defer e.mapped.RUnlock()
	if !e.unmapped {
		on.Rouse() // also if a process that was to wake them has stopped in the middle of that
	}
}
