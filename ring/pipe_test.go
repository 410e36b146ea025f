package ring

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
)

const pipeWatchdog = 30 * time.Second

// patient returns a context that ends long after any test.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), pipeWatchdog)
	t.Cleanup(cancel)
	return ctx
}

// heapPipe makes a pipe over bytes of the heap, where the race detector sees them, whose rings begin at pos.
func heapPipe(t require.TestingT, capacity, rings int, pos uint64) (a, b *PipeEnd) {
	self, err := owner.Self()
	require.NoError(t, err)
	size, _ := pipeSize(capacity, rings)
	mem := aligned(size)
	require.NoError(t, initPipe(mem, capacity, rings, self, pos))
	return heapEnd(t, mem, 0, self), heapEnd(t, mem, 1, self)
}

func heapEnd(t require.TestingT, mem []byte, me int, self owner.ID) *PipeEnd {
	e := new(PipeEnd)
	require.NoError(t, e.attach(mem, me, self))
	e.state.Store(open)
	return e
}

func newPipe(t testing.TB, o PipeOptions) (a, b *PipeEnd) {
	a, b, err := NewPipe(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
	return a, b
}

// message returns n bytes of which no other message has the same.
func message(n int, seq uint64) []byte {
	b := make([]byte, n)
	fill(b, seq)
	return b
}

func requireMessage(t require.TestingT, msg []byte, n int, seq uint64) {
	require.Len(t, msg, n)
	require.True(t, bytes.Equal(message(n, seq), msg), "message %d is another", seq)
}

// asleep waits until a call on e has announced that it sleeps.
func asleep(t testing.TB, e *PipeEnd) {
	t.Helper()
	require.Eventually(t, func() bool {
		return (e.control.bells[1-e.me].filled.Load()|e.control.bells[e.me].room.Load())&1 != 0
	}, pipeWatchdog, 100*time.Microsecond, "nobody goes to sleep")
}

// blocked runs f, which waits on e, until it sleeps, and returns where its error will be.
func blocked(t testing.TB, e *PipeEnd, f func() error) <-chan error {
	t.Helper()
	e.ringAll() // no mark is left of those who slept before
	done := later(f)
	asleep(t, e)
	return done
}

// later runs f and returns where its error will be.
func later(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func await(t testing.TB, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(pipeWatchdog):
		require.FailNow(t, "it did not return")
		return nil
	}
}

// sizesFor are lengths of messages for a pipe; a tiny one takes long for large messages.
func sizesFor(capacity int) []int {
	if capacity > 0 && capacity < 1000 {
		return pipeSizes[:len(pipeSizes)-3]
	}
	return pipeSizes
}

var pipeSizes = []int{0, 1, 7, 8, 9, 20, 21, 100, 128, 1000, 4087, 4088, 4089, 8184, 16384, 70_000, 1 << 20}

// Messages of any length arrive whole and by themselves, in both directions.
func TestPipeMessages(t *testing.T) {
	for _, capacity := range []int{1, 1000, 0, 1 << 20} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			a, b := newPipe(t, PipeOptions{Capacity: capacity})
			ctx := patient(t)
			for _, ends := range [][2]*PipeEnd{{a, b}, {b, a}} {
				done := later(func() error {
					for i, n := range sizesFor(capacity) {
						if err := ends[0].Send(ctx, message(n, uint64(i))); err != nil {
							return err
						}
					}
					return nil
				})
				for i, n := range sizesFor(capacity) {
					msg, err := ends[1].Recv(ctx)
					require.NoError(t, err)
					require.NotNil(t, msg)
					requireMessage(t, msg, n, uint64(i))
				}
				require.NoError(t, await(t, done))
			}
		})
	}
}

func TestPipeRecvAppend(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx := patient(t)
	buf := append(make([]byte, 0, 64), "<<"...)
	require.NoError(t, a.Send(ctx, []byte("one")))
	require.NoError(t, a.Send(ctx, nil))
	got, err := b.RecvAppend(ctx, buf)
	require.NoError(t, err)
	assert.Equal(t, "<<one", string(got))
	assert.Same(t, &buf[0], &got[0], "there was room")
	got, err = b.RecvAppend(ctx, got)
	require.NoError(t, err)
	assert.Equal(t, "<<one", string(got))
	large := message(100_000, 1)
	for range 2 { // into the buffer of the first
		done := later(func() error { return a.Send(ctx, large) })
		got, err = b.RecvAppend(ctx, buf)
		require.NoError(t, err)
		require.NoError(t, await(t, done))
		assert.True(t, bytes.Equal(large, got[2:]))
	}
	require.NoError(t, a.Close())
	got, err = b.RecvAppend(ctx, buf)
	assert.Equal(t, io.EOF, err)
	assert.Equal(t, "<<", string(got))
}

func TestPipeAllocatesNothing(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	msg, buf := make([]byte, 100), make([]byte, 0, 100)
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		require.NoError(t, a.Send(ctx, msg))
		var err error
		buf, err = b.RecvAppend(ctx, buf[:0])
		require.NoError(t, err)
	}))
}

func TestPipeOneWay(t *testing.T) {
	r, w := newPipe(t, PipeOptions{OneWay: true})
	ctx := patient(t)
	require.NoError(t, w.Send(ctx, []byte("hi")))
	msg, err := r.Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, "hi", string(msg))

	require.ErrorIs(t, r.Send(ctx, nil), os.ErrInvalid)
	require.ErrorContains(t, r.Send(ctx, nil), "only receives")
	_, err = r.TrySend(nil)
	require.ErrorIs(t, err, os.ErrInvalid)
	_, err = w.Recv(ctx)
	require.ErrorIs(t, err, os.ErrInvalid)
	require.ErrorContains(t, err, "only sends")
	_, _, err = w.TryRecv()
	require.ErrorIs(t, err, os.ErrInvalid)
	_, err = w.Poll(ctx, 0)
	require.ErrorIs(t, err, os.ErrInvalid)
	_, err = w.Poll(ctx, -1)
	require.ErrorIs(t, err, os.ErrInvalid)

	require.NoError(t, r.Close())
	require.ErrorIs(t, w.Send(ctx, nil), io.ErrClosedPipe)
}

func TestPipeTry(t *testing.T) {
	a, b := newPipe(t, PipeOptions{Capacity: 128})
	_, ok, err := b.TryRecv()
	require.True(t, !ok && err == nil)
	_, err = a.TrySend(make([]byte, 21))
	require.ErrorIs(t, err, ErrTooLarge)
	sent := uint64(0)
	for ok = true; ok; sent++ {
		ok, err = a.TrySend(message(20, sent))
		require.NoError(t, err)
	}
	sent--
	require.Greater(t, sent, uint64(1))
	for i := range sent {
		msg, ok, err := b.TryRecv()
		require.NoError(t, err)
		require.True(t, ok)
		requireMessage(t, msg, 20, i)
	}
	_, ok, err = b.TryRecv()
	require.True(t, !ok && err == nil)

	// Another goroutine is at it.
	require.True(t, b.rx.turn.tryTake() && a.tx.turn.tryTake())
	ok, err = a.TrySend(nil)
	require.True(t, !ok && err == nil)
	_, ok, err = b.TryRecv()
	require.True(t, !ok && err == nil)
	ok, err = b.Poll(t.Context(), 0)
	require.True(t, !ok && err == nil)
	b.rx.turn.give()
	a.tx.turn.give()

	require.NoError(t, b.Close())
	_, err = a.TrySend(nil)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	_, _, err = a.TryRecv()
	require.Equal(t, io.EOF, err)
}

func TestPipePoll(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx := patient(t)
	poll := func(timeout time.Duration) bool {
		ready, err := b.Poll(ctx, timeout)
		require.NoError(t, err)
		return ready
	}
	require.False(t, poll(0))
	require.False(t, poll(time.Millisecond))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, timeout := range []time.Duration{-1, 0, time.Hour} {
		_, err := b.Poll(ended, timeout)
		require.ErrorIs(t, err, context.Canceled)
	}
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	for _, timeout := range []time.Duration{-1, time.Hour} {
		_, err := b.Poll(soon, timeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}

	require.NoError(t, a.Send(ctx, []byte("one")))
	require.NoError(t, a.Send(ctx, []byte("two")))
	for _, want := range []string{"one", "two"} {
		require.True(t, poll(0) && poll(time.Hour) && poll(-1), "it stays")
		msg, err := b.Recv(ctx)
		require.NoError(t, err)
		require.Equal(t, want, string(msg))
	}
	require.False(t, poll(0))

	large := message(100_000, 1)
	done := later(func() error { return a.Send(ctx, large) })
	require.True(t, poll(-1), "all of it is there")
	require.NoError(t, await(t, done))
	msg, ok, err := b.TryRecv()
	require.True(t, ok && err == nil && bytes.Equal(large, msg))

	require.NoError(t, a.Close())
	for _, timeout := range []time.Duration{-1, 0, time.Hour} {
		_, err := b.Poll(ctx, timeout)
		require.Equal(t, io.EOF, err)
	}
}

// What was sent before the other end was closed arrives; then comes io.EOF, again and again.
func TestPipeClosedByTheOther(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx := patient(t)
	require.NoError(t, a.Send(ctx, []byte("last words")))
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	require.ErrorIs(t, b.Send(ctx, nil), io.ErrClosedPipe)
	require.ErrorIs(t, b.Send(ctx, make([]byte, 1<<20)), io.ErrClosedPipe)
	msg, err := b.Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, "last words", string(msg))
	for range 2 {
		_, err = b.Recv(ctx)
		require.Equal(t, io.EOF, err)
	}
	for name, call := range pipeCalls {
		require.ErrorIs(t, call(ctx, a), os.ErrClosed, name)
	}
	_, err = a.TrySend(nil)
	require.ErrorIs(t, err, os.ErrClosed)
	_, _, err = a.TryRecv()
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = a.Poll(ctx, 0)
	require.ErrorIs(t, err, os.ErrClosed)
	_, _, _, err = a.Share()
	require.ErrorIs(t, err, os.ErrClosed)
}

// pipeCalls are those that wait, on a pipe whose other end sends nothing and receives nothing.
var pipeCalls = map[string]func(ctx context.Context, e *PipeEnd) error{
	"Recv":       func(ctx context.Context, e *PipeEnd) error { _, err := e.Recv(ctx); return err },
	"RecvAppend": func(ctx context.Context, e *PipeEnd) error { _, err := e.RecvAppend(ctx, nil); return err },
	"Poll":       func(ctx context.Context, e *PipeEnd) error { _, err := e.Poll(ctx, -1); return err },
	"Poll with a time": func(ctx context.Context, e *PipeEnd) error {
		_, err := e.Poll(ctx, time.Hour)
		return err
	},
	"Send": func(ctx context.Context, e *PipeEnd) error {
		for {
			if err := e.Send(ctx, make([]byte, 100)); err != nil {
				return err
			}
		}
	},
	"Send, large": func(ctx context.Context, e *PipeEnd) error { return e.Send(ctx, make([]byte, 1<<20)) },
}

// Every call that waits ends at once: with its context, when either end is closed, and when it waits behind another goroutine.
func TestPipeWaitEnds(t *testing.T) {
	closeOne := func(e func(a, b *PipeEnd) *PipeEnd) func(a, b *PipeEnd, _ context.CancelFunc) {
		return func(a, b *PipeEnd, _ context.CancelFunc) { _ = e(a, b).Close() }
	}
	ends := map[string]struct {
		do         func(a, b *PipeEnd, cancel context.CancelFunc)
		recv, send error
	}{
		"context":   {func(_, _ *PipeEnd, cancel context.CancelFunc) { cancel() }, context.Canceled, context.Canceled},
		"own close": {closeOne(func(a, b *PipeEnd) *PipeEnd { return a }), os.ErrClosed, os.ErrClosed},
		"close":     {closeOne(func(a, b *PipeEnd) *PipeEnd { return b }), io.EOF, io.ErrClosedPipe},
	}
	for name, call := range pipeCalls {
		for how, end := range ends {
			t.Run(name+"/"+how, func(t *testing.T) {
				a, b := newPipe(t, PipeOptions{Capacity: 1024})
				ctx, cancel := context.WithCancel(patient(t))
				defer cancel()
				first := later(func() error { return call(ctx, a) })
				second := blocked(t, a, func() error { return call(ctx, a) })
				end.do(a, b, cancel)
				for _, done := range []<-chan error{first, second} {
					want := end.recv
					if name[0] == 'S' {
						want = end.send
					}
					err := await(t, done)
					require.ErrorIs(t, err, want)
					if want == io.EOF || how == "context" {
						require.True(t, err == want, "callers compare it: %v", err)
					}
				}
			})
		}
	}
}

// One who waits for the turn goes when its context ends, and the turn goes on to the others.
func TestPipeTurn(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx := patient(t)
	first := blocked(t, b, func() error { _, err := b.Recv(ctx); return err })
	short, cancel := context.WithCancel(ctx)
	second := later(func() error { _, err := b.Recv(short); return err })
	third := later(func() error { _, err := b.Recv(ctx); return err })
	require.Eventually(t, func() bool { return b.rx.turn.users.Load() == 3 }, pipeWatchdog, time.Millisecond)
	cancel()
	require.Equal(t, context.Canceled, await(t, second))
	require.NoError(t, a.Send(ctx, nil))
	require.NoError(t, a.Send(ctx, nil))
	require.NoError(t, await(t, first))
	require.NoError(t, await(t, third))
	require.Zero(t, b.rx.turn.users.Load())
}

// A large message whose sender gives up half-way is as if it had never been sent.
func TestPipeCancelledHalfWay(t *testing.T) {
	a, b := newPipe(t, PipeOptions{Capacity: 1024})
	ctx := patient(t)
	for i, next := range []int{0, 10, 3000} {
		short, cancel := context.WithCancel(ctx)
		done := blocked(t, a, func() error { return a.Send(short, message(100_000, 99)) })
		if i%2 == 0 { // some of it was taken, and put together
			ready, err := b.Poll(ctx, time.Nanosecond)
			require.True(t, !ready && err == nil)
		}
		cancel()
		require.Equal(t, context.Canceled, await(t, done))
		ready, err := b.Poll(ctx, 0)
		require.True(t, !ready && err == nil)
		sent := later(func() error { return a.Send(ctx, message(next, 7)) })
		msg, err := b.Recv(ctx)
		require.NoError(t, err)
		requireMessage(t, msg, next, 7)
		require.NoError(t, await(t, sent))
	}
	short, cancel := context.WithCancel(ctx)
	done := blocked(t, a, func() error { return a.Send(short, message(100_000, 99)) })
	cancel()
	require.Equal(t, context.Canceled, await(t, done))
	require.NoError(t, a.Close())
	_, err := b.Recv(ctx)
	require.Equal(t, io.EOF, err)
}

// The other end gets io.EOF when no call on the one that is closed can send any more, and not before: a message whose Send succeeds
// comes before it.
func TestPipeCloseWaitsForCalls(t *testing.T) {
	a, b := newPipe(t, PipeOptions{})
	ctx := patient(t)
	require.True(t, a.tx.turn.tryTake()) // a Send, which has found the end open
	closing := later(a.Close)
	require.Eventually(t, func() bool { return a.tx.turn.users.Load() == 2 }, pipeWatchdog, time.Millisecond, "it waits for the call")
	_, ok, err := b.TryRecv()
	require.True(t, !ok && err == nil, "%v", err)
	ok, err = a.put(wholeMessage, []byte("last words"))
	require.True(t, ok && err == nil)
	a.tx.turn.give()
	require.NoError(t, await(t, closing))
	msg, err := b.Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, "last words", string(msg))
	_, err = b.Recv(ctx)
	require.Equal(t, io.EOF, err)
}

// The last pieces of a message that is longer than any 32-bit number: all before them is memory that nobody has touched.
func TestPipeMessageOver4GiB(t *testing.T) {
	for _, before := range []int{1<<31 - 10, 1<<32 - 10} {
		a, b := newPipe(t, PipeOptions{Capacity: 1024})
		large, err := mmap.MapRegion(nil, before+4096, mmap.RDWR, mmap.ANON, 0)
		require.NoError(t, err)
		prefix := binary.NativeEndian.AppendUint64(nil, uint64(before+30)<<kindBits|firstPiece)
		ok, err := a.tx.p.TryPut(append(prefix, "the first."...))
		require.True(t, ok && err == nil)
		ready, err := b.Poll(patient(t), 0)
		require.True(t, !ready && err == nil)
		b.rx.parts = append(large[:0], b.rx.parts...)[:before]
		for _, piece := range []string{"and then the next ", "and the last"} {
			ok, err := a.tx.p.TryPut(append(binary.NativeEndian.AppendUint64(nil, nextPiece), piece...))
			require.True(t, ok && err == nil)
		}
		msg, ok, err := b.TryRecv()
		require.True(t, ok && err == nil)
		require.Len(t, msg, before+30)
		require.Equal(t, "the first.", string(msg[:10]))
		require.Equal(t, "and then the next and the last", string(msg[before:]))
		require.NoError(t, large.Unmap())
	}
}

// When all was received there is room for the longest message that a TrySend takes, wherever in the ring that begins.
func TestPipeEmptyHasRoom(t *testing.T) {
	for _, capacity := range []int{1, 256, 1024, 0} {
		a, b := newPipe(t, PipeOptions{Capacity: capacity})
		random := rand.New(rand.NewPCG(1, uint64(capacity)))
		for range 5000 {
			ok, err := a.TrySend(make([]byte, random.IntN(a.tx.most+1)))
			require.NoError(t, err)
			require.True(t, ok, "it is empty, but %d of %d bytes count as taken", b.rx.held, b.rx.most)
			_, ok, err = b.TryRecv()
			require.True(t, ok && err == nil)
		}
	}
}

func TestPipeBadOptions(t *testing.T) {
	for _, capacity := range []int{-1, 1<<30 + 1, math.MinInt} {
		_, _, err := NewPipe(PipeOptions{Capacity: capacity})
		require.ErrorContains(t, err, fmt.Sprint(capacity))
	}
	e := new(PipeEnd)
	for name, call := range pipeCalls {
		require.ErrorIs(t, call(t.Context(), e), os.ErrInvalid, name)
	}
	_, _, err := e.TryRecv()
	require.ErrorIs(t, err, os.ErrInvalid)
	_, _, _, err = e.Share()
	require.ErrorIs(t, err, os.ErrInvalid)
	require.NoError(t, e.Close())
}

// Whatever the other side puts into the ring, the receiver says so, allocates no more than has come, and stays with it.
func TestPipeForgedRecords(t *testing.T) {
	word := func(v uint64, rest int) []byte {
		return append(binary.NativeEndian.AppendUint64(nil, v), make([]byte, rest)...)
	}
	for name, records := range map[string][][]byte{
		"too short":                       {make([]byte, 7)},
		"empty":                           {nil},
		"unknown kind":                    {word(3, 8)},
		"whole, with a length":            {word(8<<kindBits, 8)},
		"next without a first":            {word(nextPiece, 8)},
		"next with a length":              {word(100<<kindBits|firstPiece, 8), word(92<<kindBits|nextPiece, 8)},
		"next of nothing":                 {word(100<<kindBits|firstPiece, 8), word(nextPiece, 0)},
		"more than announced":             {word(9<<kindBits|firstPiece, 8), word(nextPiece, 2)},
		"first that is all":               {word(8<<kindBits|firstPiece, 8)},
		"first that is more than all":     {word(7<<kindBits|firstPiece, 8)},
		"first of nothing":                {word(firstPiece, 0)},
		"next behind a whole one":         {word(wholeMessage, 8), word(nextPiece, 8)},
		"next behind one that was broken": {word(100<<kindBits|firstPiece, 8), word(wholeMessage, 8), word(nextPiece, 8)},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := heapPipe(t, 1024, 2, 0)
			for _, r := range records {
				ok, err := a.tx.p.TryPut(r)
				require.True(t, ok && err == nil)
			}
			var err error
			for err == nil {
				_, err = b.Recv(patient(t))
			}
			require.ErrorIs(t, err, ErrCorrupted)
			_, err = b.Recv(patient(t))
			require.ErrorIs(t, err, ErrCorrupted)
		})
	}
	a, b := heapPipe(t, 1024, 2, 0)
	for _, size := range []uint64{1 << 30, 1 << 40, math.MaxInt64 >> kindBits} {
		ok, err := a.tx.p.TryPut(word(size<<kindBits|firstPiece, 8))
		require.True(t, ok && err == nil)
		ready, err := b.Poll(t.Context(), 0)
		require.True(t, !ready && err == nil)
		require.LessOrEqual(t, cap(b.rx.parts), 2*firstBuffer)
	}
}

func TestPipeRingIsCorrupted(t *testing.T) {
	a, b := heapPipe(t, 1024, 2, 0)
	a.tx.p.control.head.Store(1 << 40)
	var err error
	for range 100 {
		err = errors.Join(err, a.Send(patient(t), make([]byte, 100)))
		if err != nil {
			break
		}
	}
	require.ErrorIs(t, err, ErrCorrupted)
	b.rx.c.words[b.rx.c.at/wordSize].Store(math.MaxUint64)
	_, err = b.Recv(patient(t))
	require.ErrorIs(t, err, ErrCorrupted)
}
