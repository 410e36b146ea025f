package ring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/shmkit/shmkit/semaphore"
)

// keepBuffer is how large a buffer for messages in pieces may be to be kept for the next one.
const keepBuffer = 1 << 20

// firstBuffer is how much memory a message in pieces gets at once, on the word of its sender.
const firstBuffer = 1 << 20

// A pipeReceiver is what an end has for receiving.
type pipeReceiver struct {
	turn         turn
	c            *Consumer            // nil: this end only sends
	filled, room semaphore.Eventcount // of the direction from which it receives
	count        uint64               // of releases

	// What was taken out of the ring is released when there is nothing more in it, or when that much is held: a reply that follows
	// a message need not wait for it.
	held, most int

	// brief is for calls that do not wait: they take no more of a large message than the ring holds, however fast the rest comes.
	brief bool

	// The next message, if ready: in the ring, where it was not released yet, or in parts.
	ready  bool
	inRing bool
	msg    []byte

	parts  []byte // what was received of a message in pieces
	dst    []byte // of the caller whose turn it is: a message in pieces goes behind it, if it has room for all of it
	inDst  bool   // parts do
	want   int    // bytes of that message; 0: none has begun
	broken error  // why nothing more can be received
}

// drop forgets what points into memory that is about to go.
func (rx *pipeReceiver) drop() {
	rx.ready, rx.msg, rx.parts, rx.inDst, rx.want = false, nil, nil, false, 0
}

// leave is called when the caller who has given dst leaves: what was received there is the caller's memory.
func (rx *pipeReceiver) leave() {
	if rx.dst = nil; rx.inDst {
		rx.parts, rx.inDst = slices.Clone(rx.parts), false
	}
}

// Recv returns the next message, waiting until there is one. It is the caller's. The error is
//
//   - [io.EOF] if the other end is closed and there is no message any more;
//   - ctx.Err() if ctx has ended, even before the call; the message stays for the next Recv;
//   - an [os.ErrClosed] if this end is closed, or [ErrMoved];
//   - an [os.ErrInvalid] if this end only sends;
//   - an [ErrCorrupted].
func (e *PipeEnd) Recv(ctx context.Context) ([]byte, error) {
	if err := e.arrive(ctx, false, nil); err != nil {
		return nil, err
	}
	defer e.rx.turn.give()
	return e.takeWhole(), nil
}

// RecvAppend is Recv into a buffer of the caller's: it appends the message to dst and returns that. It allocates only if dst has no
// room for the message. If it fails it returns dst as it was; what lies behind its length may have changed.
func (e *PipeEnd) RecvAppend(ctx context.Context, dst []byte) ([]byte, error) {
	if err := e.arrive(ctx, false, dst); err != nil {
		return dst, err
	}
	if e.rx.inDst {
		dst = dst[:len(dst)+len(e.rx.msg)]
	} else {
		dst = append(dst, e.rx.msg...)
	}
	e.taken()
	e.rx.turn.give()
	return dst, nil
}

// TryRecv is Recv if that need not wait, for a message or for other goroutines: else ok is false.
func (e *PipeEnd) TryRecv() (msg []byte, ok bool, err error) {
	if ok, err = e.look(false); !ok {
		return nil, false, err
	}
	defer e.rx.turn.give()
	return e.takeWhole(), true, nil
}

// Poll reports whether there is a whole message to receive, so that a Recv will not wait unless another goroutine is faster. It waits
// for one for at most timeout; 0 is a look, and a negative timeout is no limit but ctx. The error is that of Recv: when ctx has ended, not
// when the time has passed; [io.EOF] if no message will come any more.
func (e *PipeEnd) Poll(ctx context.Context, timeout time.Duration) (ready bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if ok, err := e.look(true); ok || err != nil || timeout == 0 {
		if ok {
			e.rx.turn.give()
		}
		return ok, err
	}
	limited := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err = e.arrive(limited, true, nil)
	switch {
	case err == nil:
		e.rx.turn.give()
		return true, nil
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return false, nil
	}
	return false, err
}

// arrive waits until there is a message. Then, and only then, it is still the caller's turn. The message may stay: then nothing is held
// that only together with it could be released.
func (e *PipeEnd) arrive(ctx context.Context, stay bool, dst []byte) error {
	if err := e.enter(ctx, &e.rx.turn); err != nil {
		return fail("receive", ctx, err)
	}
	if stay && !e.rx.ready {
		e.release()
	}
	e.rx.brief, e.rx.dst = false, dst
	ok, err := e.next(ctx)
	if !ok && err == nil {
		err = e.await(ctx, e.rx.filled, func() (bool, error) { return e.next(ctx) })
	}
	if err != nil {
		e.rx.leave()
		e.rx.turn.give()
		return e.failed(ctx, err)
	}
	return nil
}

// look is arrive without waiting.
func (e *PipeEnd) look(stay bool) (ok bool, err error) {
	ctx := context.Background()
	if err := e.usable(); err != nil {
		return false, fail("receive", ctx, err)
	}
	if !e.rx.turn.tryTake() {
		return false, nil
	}
	if err := e.entered(&e.rx.turn); err != nil {
		return false, fail("receive", ctx, err)
	}
	if stay && !e.rx.ready {
		e.release()
	}
	e.rx.brief = true
	if ok, err = e.next(ctx); !ok {
		e.rx.turn.give()
		err = e.failed(ctx, err)
	}
	return ok, err
}

// failed wraps an error of receiving, but for io.EOF, which callers compare.
func (e *PipeEnd) failed(ctx context.Context, err error) error {
	if err == io.EOF {
		return err
	}
	return fail("receive", ctx, err)
}

// next has the next message ready, or reports that there is none yet. It fails with io.EOF if there will be none.
func (e *PipeEnd) next(ctx context.Context) (ok bool, err error) {
	if e.rx.c == nil {
		return false, errOnlySends
	}
	if ok, err = e.fetch(ctx); ok || err != nil || !e.gone() {
		return ok, err
	}
	if ok, err = e.fetch(ctx); ok || err != nil { // sent before it was closed, and after the first look
		return ok, err
	}
	return false, io.EOF
}

// fetch takes records until a message is whole, or there are no more.
func (e *PipeEnd) fetch(ctx context.Context) (ok bool, err error) {
	rx := &e.rx
	for taken := 0; !rx.ready && (!rx.brief || taken < len(rx.c.data)); {
		if rx.broken != nil {
			return false, rx.broken
		}
		b, ok, err := rx.c.Peek()
		if !ok {
			rx.broken = err
			e.release()
			return false, err
		}
		if rx.broken = rx.open(b); rx.broken != nil || rx.inRing {
			continue
		}
		taken += wordSize + len(b)
		rx.held += wordSize + len(b)
		e.release() // at once: what comes again to a successor begins with a message
		// A message may be long, and its sender fast.
		if err := e.usable(); err != nil {
			return false, err
		}
		if err := ctx.Err(); err != nil && !rx.ready {
			return false, err
		}
	}
	return rx.ready, nil
}

// open looks at a record: a message, or the next piece of one, which it copies. The sender may change the bytes at any time, so that
// the prefix is read once. Plain: what tears is the message of one who writes where it must not.
func (rx *pipeReceiver) open(b []byte) error {
	if len(b) < prefixSize {
		return fmt.Errorf("record of %d bytes: %w", len(b), ErrCorrupted)
	}
	prefix, b := binary.NativeEndian.Uint64(b), b[prefixSize:]
	switch kind, size := prefix&(1<<kindBits-1), prefix>>kindBits; {
	case prefix == wholeMessage:
		rx.forget()
		rx.ready, rx.inRing, rx.msg = true, true, b
		return nil
	case kind == firstPiece && size > uint64(len(b)) && size <= math.MaxInt:
		rx.begin(int(size))
	case prefix == nextPiece && len(b) > 0 && len(b) <= rx.want-len(rx.parts):
	default:
		return fmt.Errorf("prefix %#x before %d bytes, with %d of %d received: %w", prefix, len(b), len(rx.parts), rx.want, ErrCorrupted)
	}
	// What the sender says of the whole is no reason to allocate much: memory grows with what has come.
	rx.parts = append(slices.Grow(rx.parts, min(rx.want-len(rx.parts), max(len(rx.parts), len(b), firstBuffer))), b...)
	if len(rx.parts) == rx.want {
		rx.ready, rx.msg, rx.want = true, rx.parts, 0
	}
	return nil
}

// begin begins a message of so many bytes.
func (rx *pipeReceiver) begin(size int) {
	rx.forget()
	rx.want = size
	if at := len(rx.dst); cap(rx.dst)-at >= size {
		rx.parts, rx.inDst = rx.dst[at:at:at+size], true
	}
}

// forget drops the parts of a message whose sender gave up, and keeps the memory if it is this end's.
func (rx *pipeReceiver) forget() {
	rx.parts, rx.want = rx.parts[:0], 0
	if rx.inDst {
		rx.parts, rx.inDst = nil, false
	}
}

// takeWhole returns the message that is ready in memory of its own.
func (e *PipeEnd) takeWhole() []byte {
	msg := e.rx.msg
	if e.rx.inRing {
		msg = append(make([]byte, 0, len(msg)), msg...)
	} else {
		e.rx.parts = nil
	}
	e.taken()
	return msg
}

// taken is called when the message that is ready was copied, or handed over.
func (e *PipeEnd) taken() {
	rx := &e.rx
	n := len(rx.msg)
	rx.ready, rx.msg = false, nil
	if rx.inRing {
		rx.inRing = false
		e.hold(prefixSize + n)
	} else if rx.inDst || cap(rx.parts) > keepBuffer {
		rx.parts, rx.inDst = nil, false
	}
	rx.dst = nil
}

// hold notes that a record of n bytes is not needed any more.
func (e *PipeEnd) hold(n int) {
	e.rx.held += wordSize + n
	if e.rx.held >= e.rx.most {
		e.release()
	}
}

// release gives the room of all that was taken back, and wakes who waits for it. No message is ready in the ring.
func (e *PipeEnd) release() {
	rx := &e.rx
	if rx.held == 0 {
		return
	}
	rx.held = 0
	rx.c.Release() // killed before this: the messages are lost with this process, as they are after this
	rx.count++
	e.mine.taken.Store(rx.count) // a full fence between the release and the look for sleepers; pairs with Announce in sleep
	rx.room.NotifyAll()          // killed before this: the death wakes who sleeps
}
