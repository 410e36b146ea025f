package ring

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Many goroutines use each end, and give up in the middle of what they do: each message that was sent is received once, and no other.
func TestPipeStorm(t *testing.T) {
	for name, pipe := range map[string]func() (a, b *PipeEnd){
		"heap":   func() (a, b *PipeEnd) { return heapPipe(t, 256, 2, math.MaxUint64-1023) },
		"shared": func() (a, b *PipeEnd) { return newPipe(t, PipeOptions{Capacity: 512}) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipe()
			var both sync.WaitGroup
			both.Go(func() { pipeStorm(t, a, b, uint64(rand.Uint32())) })
			both.Go(func() { pipeStorm(t, b, a, uint64(rand.Uint32())) })
			both.Wait()
		})
	}
}

const (
	stormSenders   = 4
	stormSends     = 200
	stormReceivers = 3
)

// pipeStorm sends one way.
func pipeStorm(t *testing.T, from, to *PipeEnd, seed uint64) {
	var senders, receivers sync.WaitGroup
	var sent, got sync.Map // message: number of its sender and its own
	for s := range uint64(stormSenders) {
		senders.Go(func() {
			random := rand.New(rand.NewPCG(seed, s))
			for n := range uint64(stormSends) {
				ctx, cancel := stormContext(random)
				id := s<<32 | n
				if from.Send(ctx, append(binary.NativeEndian.AppendUint64(nil, id), message(random.IntN(400), id)...)) == nil {
					sent.Store(id, true)
				}
				cancel()
			}
		})
	}
	for r := range uint64(stormReceivers) {
		receivers.Go(func() {
			random := rand.New(rand.NewPCG(seed, 100+r))
			for {
				ctx, cancel := stormContext(random)
				msg, err := to.Recv(ctx)
				cancel()
				if err == context.Canceled {
					continue
				}
				if !assert.NoError(t, err) || len(msg) == 0 {
					return // an empty message is the last
				}
				id := binary.NativeEndian.Uint64(msg)
				assert.True(t, bytes.Equal(message(len(msg)-8, id), msg[8:]), "torn")
				_, twice := got.LoadOrStore(id, true)
				assert.False(t, twice)
			}
		})
	}
	senders.Wait()
	for range stormReceivers {
		require.NoError(t, from.Send(patient(t), nil))
	}
	receivers.Wait()
	got.Range(func(id, _ any) bool {
		_, ok := sent.LoadAndDelete(id)
		return assert.True(t, ok, "received, though its Send had failed: %v", id)
	})
	sent.Range(func(id, _ any) bool { return assert.Fail(t, "lost", id) })
}

// stormContext returns a context that soon ends, or, three times in four, never.
func stormContext(random *rand.Rand) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	if turns := random.IntN(80); turns < 20 {
		go func() {
			for range turns {
				runtime.Gosched()
			}
			cancel()
		}()
	}
	return ctx, cancel
}

// An end is closed, or given away, in the middle of calls of all kinds: each of them returns, nothing touches memory that is gone, and
// afterwards all say the same.
func TestPipeClosedInTheMiddle(t *testing.T) {
	for round := range 50 {
		a, b, err := NewPipe(PipeOptions{Capacity: 256})
		require.NoError(t, err)
		ctx := patient(t)
		var users sync.WaitGroup
		for _, e := range []*PipeEnd{a, b} {
			for _, call := range []func() error{
				func() error { return e.Send(ctx, make([]byte, 500)) },
				func() error { _, err := e.TrySend(make([]byte, 20)); return err },
				func() error { _, err := e.Recv(ctx); return err },
				func() error { _, _, err := e.TryRecv(); return err },
				func() error { _, err := e.Poll(ctx, time.Microsecond); return err },
			} {
				users.Go(func() {
					for err := error(nil); err == nil; {
						err = call()
						runtime.Gosched()
					}
				})
			}
		}
		runtime.Gosched()
		for range round % 2 * 1000 {
			if _, _, settled, err := a.Share(); err == nil { // a call is in progress, mostly
				settled()
				break
			}
		}
		require.NoError(t, a.Close())
		users.Wait() // those of b end because a is gone
		require.NoError(t, b.Close())
		for _, e := range []*PipeEnd{a, b} {
			require.ErrorIs(t, e.Send(ctx, nil), os.ErrClosed)
			_, err := e.Poll(ctx, 0)
			require.ErrorIs(t, err, os.ErrClosed)
		}
	}
}
