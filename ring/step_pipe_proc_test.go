//go:build linux && amd64

package ring

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/singlestep"
)

const (
	stepPipe    = 256
	stepPipePos = 1<<64 - 200 // both a storage and the counter come round on the way
	stepTicket  = closedEnd << 1
)

// A piping is an operation of the process that holds end 0, beside which end 1 lives on.
type piping struct {
	sizes   []int // of what it sends
	adopts  bool  // it adopts the end first
	wakes   bool  // before it, the other end sleeps
	operate func(e *PipeEnd) error
}

func stepSend(sizes ...int) piping {
	return piping{sizes: sizes, operate: func(e *PipeEnd) error {
		for i, n := range sizes {
			if err := e.Send(context.Background(), message(n, uint64(i))); err != nil {
				return err
			}
		}
		return nil
	}}
}

var pipings = map[string]piping{
	"Send":                stepSend(20),
	"Send of nothing":     stepSend(0),
	"Send over the wrap":  stepSend(40, 13, 40),
	"Send of two pieces":  stepSend(100),
	"Recv, Poll and Recv": {operate: stepRecvAll},
	"Close":               {operate: func(e *PipeEnd) error { e.state.Store(closed); e.hangUp(); return nil }},
	"Share":               {operate: func(e *PipeEnd) error { _, err := e.offer(); return err }},
	"Adopt":               {adopts: true, operate: func(e *PipeEnd) error { return nil }},
}

// wakers are those that wake the other end.
var wakers = map[string]piping{
	"Send to a sleeper":            {sizes: []int{20}, wakes: true, operate: stepSend(20).operate},
	"Send of nothing to a sleeper": {sizes: []int{0}, wakes: true, operate: stepSend(0).operate},
	"Close beside a sleeper":       {wakes: true, operate: pipings["Close"].operate},
}

func stepRecvAll(e *PipeEnd) error {
	for range 2 {
		if _, err := e.Recv(context.Background()); err != nil {
			return err
		}
		if _, err := e.Poll(context.Background(), 0); err != nil {
			return err
		}
	}
	return nil
}

// stepped prepares the operation in the process that is killed.
func (o piping) stepped(f *os.File) func() {
	mem := mapStepped(f)
	self, err := owner.Self()
	must(err)
	e := new(PipeEnd)
	if o.adopts {
		must(new(PipeEnd).attach(mem, 0, self)) // what is found out about types once takes long
		return func() {
			must(e.redeem(mem, 0, self, stepTicket))
			must(o.operate(e))
		}
	}
	must(e.attach(mem, 0, self))
	e.state.Store(open)
	e.mine.holder.Store(uint64(self))
	e.gone()
	for wait := new(spin); o.wakes && e.control.bells[0].filled.Load()&1 == 0; {
		wait.once()
	}
	return func() { must(o.operate(e)) }
}

// A process that is killed at any instruction has sent a message or has not, and the other end learns that it is gone: also if it was about
// to give the end away, or to take it.
func TestStepPipe(t *testing.T) {
	self, err := owner.Self()
	require.NoError(t, err)
	for name, o := range singlestep.Part(pipings) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				size, _ := pipeSize(stepPipe, 2)
				f, mem, release := newStepped(t, size)
				defer release()
				require.NoError(t, initPipe(mem, stepPipe, 2, self, stepPipePos))
				a, b := heapEnd(t, mem, 0, self), heapEnd(t, mem, 1, self)
				ctx := patient(t)
				for i := range 2 {
					require.NoError(t, b.Send(ctx, message(30, uint64(i))))
				}
				if o.adopts {
					ticket, err := a.offer()
					require.NoError(t, err)
					require.Equal(t, stepTicket, ticket)
				}
				require.NoError(t, w.Run(name, f, nil, mem))
				if o.adopts {
					a.settle(stepTicket)
				}
				requireRest(t, b, o.sizes, w.Returned)
				require.ErrorIs(t, b.Send(ctx, nil), io.ErrClosedPipe)
				require.NoError(t, b.Close())
			})
		})
	}
}

// requireRest checks that the other end receives what the dead had sent: the first of those messages, or all.
func requireRest(t *testing.T, e *PipeEnd, sizes []int, all bool) {
	for i := 0; ; i++ {
		msg, err := e.Recv(patient(t))
		if err == io.EOF {
			require.True(t, i == len(sizes) || !all, "%d of %d", i, len(sizes))
			return
		}
		require.NoError(t, err)
		require.Less(t, i, len(sizes))
		requireMessage(t, msg, sizes[i], uint64(i))
	}
}

const (
	stepSlots  = 4
	stepEvents = 6         // that were written before
	stepEvent  = 20        // bytes of each
	stepStart  = 1<<64 - 5 // the counter comes round on the way
)

// A broadcasting is an operation of a ring's writer.
type broadcasting struct {
	writes  int
	operate func(w *BroadcastWriter)
}

func stepWrites(n int) broadcasting {
	return broadcasting{writes: n, operate: func(w *BroadcastWriter) {
		for i := range n {
			w.Write(event(uint64(stepEvents+i), stepEvent))
		}
	}}
}

var broadcastings = map[string]broadcasting{"Write": stepWrites(1), "Write, Write": stepWrites(2)}

func (o broadcasting) stepped(f *os.File) func() {
	w, err := AttachBroadcastWriter(mapStepped(f))
	must(err)
	return func() { o.operate(w) }
}

// A writer that is killed at any instruction leaves whole records only, and at most one less than there were. Its successor goes on, and
// is killed likewise.
func TestStepBroadcast(t *testing.T) {
	for name, o := range singlestep.Part(broadcastings) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, walk *singlestep.Walk) {
				f, mem, release := newStepped(t, BroadcastSize(stepSlots, stepEvent))
				defer release()
				require.NoError(t, initBroadcast(mem, stepSlots, stepEvent, stepStart))
				w, err := AttachBroadcastWriter(mem)
				require.NoError(t, err)
				live := readBroadcast(t, mem)
				for seq := range uint64(stepEvents) {
					w.Write(event(seq, stepEvent))
				}
				require.NoError(t, walk.Run(name, f, nil, mem))
				fresh := readBroadcast(t, mem)
				next := stepDrain(t, live, 0)
				require.LessOrEqual(t, next, uint64(stepEvents+o.writes))
				require.True(t, next == uint64(stepEvents+o.writes) || !walk.Returned)
				rec, missed, ok := fresh.Next()
				require.True(t, ok)
				require.Zero(t, missed)
				first := eventNumber(t, rec)
				require.LessOrEqual(t, next-first, uint64(stepSlots))
				require.GreaterOrEqual(t, next-first, uint64(stepSlots-1), "one is lost at most")
				require.Equal(t, next, stepDrain(t, fresh, first+1))

				w, err = AttachBroadcastWriter(mem)
				require.NoError(t, err)
				for range 2 * stepSlots {
					w.Write(event(next, stepEvent))
					next++
					require.Equal(t, next, stepDrain(t, live, next-1))
				}
			})
		})
	}
}

// stepDrain reads all there is, from record next on, and returns the number behind it.
func stepDrain(t *testing.T, r *BroadcastReader, next uint64) uint64 {
	for {
		rec, missed, ok := r.Next()
		if !ok {
			return next
		}
		require.Equal(t, next+missed, eventNumber(t, rec))
		next += missed + 1
	}
}

// The other end sleeps, without a bound, when the process is killed at any instruction: it has the message if that was sent, and it
// learns that the process is gone, even if that was about to wake it.
func TestStepPipeSleeper(t *testing.T) {
	self, err := owner.Self()
	require.NoError(t, err)
	for name, o := range singlestep.Part(wakers) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				size, _ := pipeSize(stepPipe, 2)
				f, mem, release := newStepped(t, size)
				defer release()
				require.NoError(t, initPipe(mem, stepPipe, 2, self, stepPipePos))
				b := heapEnd(t, mem, 1, self)
				ctx := patient(t)
				received, walked := 0, make(chan struct{})
				done := later(func() error {
					for wait := new(spin); b.peer.holder.Load() == uint64(self); { // the one to be killed has the end from then on
						wait.once()
					}
					for {
						if _, err := b.Recv(ctx); err != nil {
							return err
						}
						received++
						<-walked // what else it would do would be states of the memory, too
					}
				})
				err := w.Run(name, f, nil, mem)
				close(walked)
				require.NoError(t, err)
				require.Equal(t, io.EOF, await(t, done))
				require.True(t, received == len(o.sizes) || !w.Returned)
				require.NoError(t, b.Close())
			})
		})
	}
}
