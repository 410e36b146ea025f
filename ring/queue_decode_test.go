package ring

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A trick is a value whose decoding does what the test wants.
type trick struct {
	what uint64
	pad  int    // bytes that follow
	_    *trick // or it would be copied as it is
}

// What decoding does.
const (
	trickNothing = 1000 + iota // numbers below are decoded at once
	trickBlocks
	trickPanics
	trickFails
	trickExits // the goroutine
)

// trickGate is where the decoding of trickBlocks says that it has begun, and waits for the test.
var trickGate atomic.Pointer[gate]

type gate struct{ begun, open chan struct{} }

func newGate(t *testing.T) *gate {
	g := &gate{make(chan struct{}, 16), make(chan struct{})}
	trickGate.Store(g)
	t.Cleanup(func() { trickGate.Store(nil) })
	return g
}

var errTrick = errors.New("a trick")

func (x trick) MarshalBinary() ([]byte, error) {
	return append(binary.LittleEndian.AppendUint64(nil, x.what), make([]byte, x.pad)...), nil
}

func (x *trick) UnmarshalBinary(data []byte) error {
	*x = trick{what: binary.LittleEndian.Uint64(data), pad: len(data) - 8}
	switch x.what {
	case trickBlocks:
		g := trickGate.Load()
		g.begun <- struct{}{}
		<-g.open
	case trickPanics:
		panic(errTrick)
	case trickExits:
		runtime.Goexit()
	case trickFails:
		return errTrick
	}
	return nil
}

// A getting is what a goroutine got, or why not.
type getting struct {
	v    trick
	err  error
	exit bool // it did not come back
}

// startGetting starts a goroutine that gets one item, by get.
func startGetting(get func() (trick, error)) <-chan getting {
	done := make(chan getting, 1)
	go func() {
		g := getting{exit: true}
		defer func() { done <- g }()
		g.v, g.err = get()
		g.exit = false
	}()
	return done
}

func got(t *testing.T, done <-chan getting, what string) getting {
	t.Helper()
	select {
	case g := <-done:
		return g
	case <-time.After(queuePatience):
		require.FailNow(t, "nobody got "+what)
		panic("unreachable")
	}
}

// ways are those to get one item.
func ways(q *Queue[trick]) map[string]func(ctx context.Context) (trick, error) {
	return map[string]func(ctx context.Context) (trick, error){
		"Get": q.Get,
		"GetBatch": func(ctx context.Context) (trick, error) {
			var dst [1]trick
			_, err := q.GetBatch(ctx, dst[:])
			return dst[0], err
		},
	}
}

// sizes are of items that lie in their slots, and of those that do not.
var trickSizes = map[string]int{"inline": 0, "block": 5000}

// One whose item takes long to decode holds up no other on its handle.
func TestQueueSlowDecoding(t *testing.T) {
	for size, pad := range trickSizes {
		for way := range ways(nil) {
			t.Run(size+" "+way, func(t *testing.T) {
				q := newQueue[trick](t, QueueOptions{Capacity: 8})
				g := newGate(t)
				get := ways(q)[way]
				slow := startGetting(func() (trick, error) { return get(soon(t)) })
				eventually(t, "it sleeps", func() bool { return q.ring.ctl.items.Load()&1 != 0 })
				require.NoError(t, q.Put(soon(t), trick{what: trickBlocks, pad: pad}))
				<-g.begun
				other := startGetting(func() (trick, error) { return get(soon(t)) })
				require.NoError(t, q.Put(soon(t), trick{what: 7, pad: pad}))
				assert.Equal(t, getting{v: trick{what: 7, pad: pad}}, got(t, other, "the item behind it"))
				_, ok, err := q.TryGet()
				assert.False(t, ok)
				assert.NoError(t, err)
				close(g.open)
				assert.Equal(t, getting{v: trick{what: trickBlocks, pad: pad}}, got(t, slow, "the slow one"))
			})
		}
	}
}

// Whose item panics, fails, or ends the goroutine when it is decoded has that himself, and the item is gone: others get theirs, and slot and memory
// are used again.
func TestQueueDecodingThatFails(t *testing.T) {
	for size, pad := range trickSizes {
		for way := range ways(nil) {
			t.Run(size+" "+way, func(t *testing.T) {
				q := newQueue[trick](t, QueueOptions{Capacity: 4, Joinable: true, Memory: 1 << 20})
				get := ways(q)[way]
				for round := range uint64(100) { // far more than there are slots, and than blocks would fit
					var all []<-chan getting
					for range 4 {
						all = append(all, startGetting(func() (trick, error) { return get(soon(t)) }))
						eventually(t, "it waits", waits(q))
					}
					require.NoError(t, ignore(q.PutAll(soon(t), []trick{
						{what: round, pad: pad}, {what: trickPanics, pad: pad}, {what: trickFails, pad: pad}, {what: trickExits, pad: pad},
					})))
					outcomes := map[string]int{}
					for _, done := range all {
						switch g := got(t, done, "an item"); {
						case g.exit:
							outcomes["exit"]++
						case g.err == nil:
							assert.Equal(t, trick{what: round, pad: pad}, g.v)
							q.TaskDone()
							outcomes["item"]++
						default:
							assert.ErrorIs(t, g.err, errTrick)
							outcomes[strings.TrimPrefix(g.err.Error(), "get: decode ring.trick: ")]++
						}
					}
					for _, n := range outcomes {
						require.Equal(t, 1, n, "%v", outcomes)
					}
					require.Len(t, outcomes, 4)
					require.NoError(t, q.Join(soon(t)), "what is gone is done")
				}
				for range 10 { // nobody waits
					require.NoError(t, q.Put(soon(t), trick{what: trickExits, pad: pad}))
					done := startGetting(func() (trick, error) { v, _, err := q.TryGet(); return v, err })
					assert.True(t, got(t, done, "an item").exit)
					require.NoError(t, q.Join(soon(t)))
				}
			})
		}
	}
}

func ignore(_ int, err error) error { return err }

// A batch that waits for its first item takes what there is behind it, and ends at what cannot be decoded.
func TestQueueBatchOfDecoded(t *testing.T) {
	q := newQueue[trick](t, QueueOptions{Capacity: 8})
	g := newGate(t)
	dst := make([]trick, 4)
	type batch struct {
		n   int
		err error
	}
	start := func() <-chan batch {
		done := make(chan batch, 1)
		go func() {
			n, err := q.GetBatch(soon(t), dst)
			done <- batch{n, err}
		}()
		eventually(t, "it sleeps", func() bool { return q.ring.ctl.items.Load()&1 != 0 })
		return done
	}
	done := start()
	require.NoError(t, q.Put(soon(t), trick{what: trickBlocks}))
	<-g.begun
	require.NoError(t, ignore(q.PutAll(soon(t), []trick{{what: 1}, {what: 2}})))
	require.NoError(t, q.CloseSend())
	close(g.open)
	assert.Equal(t, batch{3, nil}, <-done)
	assert.Equal(t, []trick{{what: trickBlocks}, {what: 1}, {what: 2}, {}}, dst)

	q = newQueue[trick](t, QueueOptions{Capacity: 8})
	g = newGate(t)
	done = start()
	require.NoError(t, q.Put(soon(t), trick{what: trickBlocks}))
	<-g.begun
	require.NoError(t, ignore(q.PutAll(soon(t), []trick{{what: 1}, {what: trickFails}, {what: 3}})))
	close(g.open)
	b := <-done
	assert.Equal(t, 2, b.n)
	assert.ErrorIs(t, b.err, errTrick)
	v, err := q.Get(soon(t))
	assert.NoError(t, err)
	assert.Equal(t, trick{what: 3}, v)
}
