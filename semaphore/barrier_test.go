package semaphore_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

func barrierBytes() []byte { return layout.SliceBytes(make([]uint64, semaphore.BarrierSize/8)) }

// newBarrier makes a barrier, and as many handles as asked for. Who waits on them sleeps until it is told.
func newBarrier(t testing.TB, parties, handles int) []*semaphore.Barrier {
	create := func(mem []byte) (*semaphore.Barrier, error) { return semaphore.NewBarrierAt(mem, parties) }
	all := semaphore.Handles(t, barrierBytes(), handles, create, semaphore.AttachBarrier)
	for _, b := range all {
		b.Unbounded()
	}
	return all
}

// An outcome is what Wait returned.
type outcome struct {
	index int
	err   error
}

func waitAt(ctx context.Context, b *semaphore.Barrier) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		index, err := b.Wait(ctx)
		done <- outcome{index, err}
	}()
	return done
}

func TestBarrierRefusesBadInput(t *testing.T) {
	for name, tt := range map[string]struct {
		size    int
		parties int
		want    string
	}{
		"negative": {semaphore.BarrierSize, -1, "-1 parties: want 1 to 65535"},
		"none":     {semaphore.BarrierSize, 0, "0 parties: want 1 to 65535"},
		"too many": {semaphore.BarrierSize, 1 << 16, "65536 parties: want 1 to 65535"},
		"short":    {semaphore.BarrierSize - 1, 2, "a barrier takes 33536"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := semaphore.NewBarrierAt(make([]byte, tt.size), tt.parties)
			assert.ErrorContains(t, err, tt.want)
		})
	}
	_, err := semaphore.NewBarrier(0)
	assert.ErrorContains(t, err, "0 parties")
	mem := barrierBytes()
	_, err = semaphore.AttachBarrier(mem)
	assert.ErrorIs(t, err, layout.ErrNotShmkit)
	require.NoError(t, layout.Init(mem, layout.KindSemaphore, 1))
	_, err = semaphore.AttachBarrier(mem)
	assert.ErrorIs(t, err, layout.ErrKind)
	require.NoError(t, owner.Init(mem, layout.KindBarrier, 0))
	_, err = semaphore.AttachBarrier(mem)
	assert.ErrorIs(t, err, semaphore.ErrCorrupted)
}

func TestBarrierLayout(t *testing.T) {
	require.NoError(t, layout.Viewable(semaphore.BarrierBodyType))
	assert.EqualValues(t, semaphore.BarrierSize, semaphore.BarrierBodyType.Size())
	for name, off := range map[string]uintptr{"header": 0, "word": 64, "changed": 72, "resets": 80, "ends": 128, "roll": 640} {
		f, ok := semaphore.BarrierBodyType.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
}

// All parties of all rounds go on together, each with an index of its own; several goroutines of one handle are several parties.
func TestBarrierRounds(t *testing.T) {
	const rounds = 300
	for _, tt := range []struct{ parties, handles int }{{1, 1}, {2, 1}, {2, 2}, {5, 2}} {
		h := newBarrier(t, tt.parties, tt.handles)
		assert.Equal(t, tt.parties, h[0].Parties())
		indices := make([][]int, tt.parties) // written by one party each, read by others after the next round
		var all sync.WaitGroup
		ctx := watched(t)
		for p := range tt.parties {
			all.Go(func() {
				for range rounds {
					index, err := h[p%tt.handles].Wait(ctx)
					if !assert.NoError(t, err) {
						return
					}
					indices[p] = append(indices[p], index)
				}
			})
		}
		all.Wait()
		for r := range rounds {
			seen := map[int]bool{}
			for p := range indices {
				seen[indices[p][r]] = true
			}
			for i := range tt.parties {
				require.True(t, seen[i], "index %d in round %d", i, r)
			}
		}
		assert.Zero(t, h[0].Waiting())
		assert.False(t, h[0].Broken())
	}
}

// What was written before Wait is read after it: the race detector says if not.
func TestBarrierOrdersMemory(t *testing.T) {
	mapped, err := semaphore.NewBarrier(3)
	require.NoError(t, err)
	barrierOrdersMemory(t, newBarrier(t, 3, 1)[0])
	barrierOrdersMemory(t, mapped)
	require.NoError(t, mapped.Close())
}

func barrierOrdersMemory(t *testing.T, b *semaphore.Barrier) {
	values := make([]int, 3)
	var all sync.WaitGroup
	ctx := watched(t)
	for p := range 3 {
		all.Go(func() {
			for r := range 200 {
				values[p] = r
				for range 2 { // between which nobody writes
					if _, err := b.Wait(ctx); !assert.NoError(t, err) {
						return
					}
					if sum := values[0] + values[1] + values[2]; sum != 3*r {
						t.Errorf("round %d: sum %d", r, sum)
					}
				}
				if _, err := b.Wait(ctx); !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	all.Wait()
}

// Breaking it ends every Wait, there and to come, until a reset.
func TestBarrierBreaks(t *testing.T) {
	for name, by := range map[string]func(h []*semaphore.Barrier, leave context.CancelFunc){
		"Abort":       func(h []*semaphore.Barrier, _ context.CancelFunc) { h[1].Abort() },
		"a context":   func(_ []*semaphore.Barrier, leave context.CancelFunc) { leave() },
		"late":        func(h []*semaphore.Barrier, _ context.CancelFunc) { _, _ = h[1].Wait(expired()) },
		"Reset":       func(h []*semaphore.Barrier, _ context.CancelFunc) { h[1].Reset() },
		"Abort twice": func(h []*semaphore.Barrier, _ context.CancelFunc) { h[0].Abort(); h[1].Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newBarrier(t, 4, 2)
			ctx, leave := context.WithCancel(watched(t))
			defer leave()
			leaves := waitAt(ctx, h[0])
			until(t, "one waits", func() bool { return h[1].Waiting() == 1 })
			stays := waitAt(watched(t), h[1])
			until(t, "two wait", func() bool { return h[1].Waiting() == 2 })
			by(h, leave)
			err := recv(t, leaves, "the end").err
			if name == "a context" {
				assert.ErrorIs(t, err, context.Canceled)
			} else {
				assert.Equal(t, semaphore.ErrBroken, err)
			}
			assert.Equal(t, semaphore.ErrBroken, recv(t, stays, "the end").err)
			assert.Equal(t, name != "Reset", h[0].Broken())
			assert.Zero(t, h[0].Waiting())
			if name != "Reset" {
				_, err = h[0].Wait(watched(t))
				assert.Equal(t, semaphore.ErrBroken, err)
			}
			h[0].Reset()
			h[1].Reset() // nobody has come yet: it changes nothing
			requirePasses(t, h, 4)
		})
	}
}

// expired returns a context whose time was up before it began.
func expired() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), -time.Hour)
	cancel()
	return ctx
}

// requirePasses has all parties come.
func requirePasses(t *testing.T, h []*semaphore.Barrier, parties int) {
	t.Helper()
	var all []<-chan outcome
	for p := range parties {
		all = append(all, waitAt(watched(t), h[p%len(h)]))
	}
	for _, done := range all {
		require.NoError(t, recv(t, done, "it passes").err)
	}
}

func TestBarrierExpiredContext(t *testing.T) {
	h := newBarrier(t, 1, 1)
	_, err := h[0].Wait(expired())
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, h[0].Broken(), "a party has given up")
}

// One who has slept through its own round, and others, resets among them, is told what became of its own.
func TestBarrierLateWaker(t *testing.T) {
	for name, tt := range map[string]struct {
		breaks bool // its own round
		resets int  // after it
		want   error
	}{
		"passed":               {false, 0, nil},
		"passed, one reset":    {false, 1, nil},
		"broken, one reset":    {true, 1, semaphore.ErrBroken},
		"passed, 63 resets":    {false, 63, nil},
		"broken, 63 resets":    {true, 63, semaphore.ErrBroken},
		"passed, and too many": {false, 65, semaphore.ErrBroken},
	} {
		t.Run(name, func(t *testing.T) {
			h := newBarrier(t, 2, 2)
			late := h[0].Late() // has come, and looks when the test says so
			if tt.breaks {
				h[1].Abort()
				h[1].Reset()
				tt.resets--
			} else {
				_, err := h[1].Wait(watched(t))
				require.NoError(t, err)
			}
			for range tt.resets {
				requirePasses(t, h[1:], 2)
				h[1].Abort()
				h[1].Reset()
			}
			requirePasses(t, h[1:], 2)
			waiting := waitAt(watched(t), h[1]) // as many as when it came
			until(t, "it waits", func() bool { return h[1].Waiting() == 1 })
			ended, err := late()
			assert.True(t, ended)
			assert.Equal(t, tt.want, err)
			requirePasses(t, h[:1], 1)
			require.NoError(t, recv(t, waiting, "the end").err)
		})
	}
}

// One who sleeps until the word's epoch is the same again, and finds others waiting in its round by the word, learns that its own is forgotten.
func TestBarrierSleepsThroughAllEpochs(t *testing.T) {
	const epochs = 1 << 15
	for name, breaks := range map[string]int{"passed": 0, "broken": 1} {
		for _, more := range []int{0, 1, epochs} {
			t.Run(fmt.Sprint(name, " ", more), func(t *testing.T) {
				h := newBarrier(t, 3, 3)
				late, second := h[0].Late(), h[1].Late()
				if breaks == 0 {
					requirePasses(t, h[2:], 1)
				}
				was := h[2].Word().Load()
				for range epochs + more {
					h[2].Abort()
					h[2].Reset()
				}
				if breaks == 1 && more != 1 {
					require.Equal(t, was&^0xffff, h[2].Word().Load(), "the epoch is the same again")
				}
				require.EqualValues(t, epochs+more, h[2].Resets().Load())
				waiting := waitAt(watched(t), h[2])
				until(t, "it waits", func() bool { return h[2].Waiting() == 1 })
				for _, look := range []func() (bool, error){late, second} {
					ended, err := look()
					assert.True(t, ended)
					assert.Equal(t, semaphore.ErrBroken, err)
				}
				requirePasses(t, h[:2], 2)
				require.NoError(t, recv(t, waiting, "the end").err)
			})
		}
	}
}

// A count of resets that nobody can have written is an error, and the next reset mends it.
func TestBarrierCorruptedResets(t *testing.T) {
	b := newBarrier(t, 1, 1)[0]
	for _, n := range []uint64{2, 1 << 14, 1<<15 - 1, math.MaxUint64} {
		b.Word().Store(0)
		b.Resets().Store(n)
		_, err := b.Wait(watched(t))
		assert.ErrorIs(t, err, semaphore.ErrCorrupted)
		b.Abort()
		b.Reset()
		_, err = b.Wait(watched(t))
		assert.NoError(t, err, n)
	}
}

// The numbers of epochs and rounds wrap.
func TestBarrierWraps(t *testing.T) {
	h := newBarrier(t, 2, 2)
	h[0].Word().Store(semaphore.RoundWord(1<<15-1, math.MaxUint32-1))
	for range 4 {
		requirePasses(t, h, 2)
		waiting := waitAt(watched(t), h[0])
		until(t, "it waits", func() bool { return h[1].Waiting() == 1 })
		h[1].Reset()
		assert.Equal(t, semaphore.ErrBroken, recv(t, waiting, "the end").err)
	}
}

// Who waits, or is about to, and is dead, breaks the barrier for those who come; who had waited in another round does not.
func TestBarrierOfTheDead(t *testing.T) {
	for name, id := range map[string]owner.ID{"dead": endedID(t), "pid reused": reusedID(t)} {
		t.Run(name, func(t *testing.T) {
			h := newBarrier(t, 3, 3)
			self := h[0].Owner()
			requirePasses(t, h, 3)
			h[1].SetOwner(1, id) // after its round
			first := waitAt(watched(t), h[0])
			until(t, "it waits, and nobody is found dead in it", func() bool { return h[0].Waiting() == 1 && h[0].Vacant(1) })
			h[1].SetOwner(1, self)
			requirePasses(t, h[1:], 2)
			require.NoError(t, recv(t, first, "it passes").err)

			h[1].Late()
			h[1].SetOwner(1, id)
			_, err := h[0].Wait(watched(t))
			assert.Equal(t, semaphore.ErrBroken, err)
			h[1].SetOwner(1, self)
			h[0].Reset()
			requirePasses(t, h, 3)
		})
	}
}

// Who comes last is told of one that has died while it waited, and nobody else did.
func TestBarrierOfOneWhoDiedAlone(t *testing.T) {
	for name, id := range map[string]owner.ID{"dead": endedID(t), "pid reused": reusedID(t)} {
		h := newBarrier(t, 2, 2)
		self := h[1].Owner()
		h[1].Late()
		h[1].SetOwner(1, id)
		_, err := h[0].Wait(watched(t))
		assert.Equal(t, semaphore.ErrBroken, err, name)
		h[1].SetOwner(1, self) // so that it can be closed
	}
}

// Where an epoch is said to have ended while its round goes on, which nobody can have written, nobody turns for ever.
func TestBarrierCorruptedEnd(t *testing.T) {
	for _, cancelled := range []bool{true, false} {
		h := newBarrier(t, 3, 1)
		b := h[0]
		ctx, cancel := context.WithCancel(watched(t))
		waiting := waitAt(ctx, b)
		until(t, "it sleeps", func() bool { return b.Waiting() == 1 && b.Asleep() })
		b.End(0).Store(b.Word().Load())              // not broken
		b.Word().Store(semaphore.RoundWord(1, 1<<8)) // another epoch
		if !cancelled {
			b.Rouse()
		} else {
			cancel()
		}
		assert.ErrorIs(t, recv(t, waiting, "the error").err, semaphore.ErrCorrupted)
		b.Rouse()
		cancel()
	}
}

func TestBarrierCorrupted(t *testing.T) {
	h := newBarrier(t, 2, 1)
	for _, count := range []uint64{2, 3, semaphore.MaxParties} {
		h[0].Word().Store(count)
		_, err := h[0].Wait(watched(t))
		assert.ErrorIs(t, err, semaphore.ErrCorrupted)
		assert.LessOrEqual(t, h[0].Waiting(), 2)
		h[0].Reset()
		waiting := waitAt(watched(t), h[0])
		until(t, "it waits", func() bool { return h[0].Waiting() == 1 })
		h[0].Word().Store(h[0].Word().Load() - 1 + count)
		h[0].Rouse()
		assert.ErrorIs(t, recv(t, waiting, "the error").err, semaphore.ErrCorrupted)
	}
	h[0].Word().Store(0)
}

func TestBarrierHandles(t *testing.T) {
	mem := barrierBytes()
	first, err := semaphore.NewBarrierAt(mem, 1)
	require.NoError(t, err)
	for range 2 * semaphore.Seats {
		b, err := semaphore.AttachBarrier(mem)
		require.NoError(t, err)
		_, err = b.Wait(watched(t))
		require.NoError(t, err)
		require.NoError(t, b.Close())
	}
	require.NoError(t, first.Close())
}

// Indices are given in the order of arrival, whoever wakes up first.
func TestBarrierIndices(t *testing.T) {
	h := newBarrier(t, 5, 2)
	for range 20 {
		var all []<-chan outcome
		for p := range 5 {
			all = append(all, waitAt(watched(t), h[p%2]))
			until(t, "it has come", func() bool { return h[0].Waiting() == (p+1)%5 })
		}
		for p, done := range all {
			require.Equal(t, outcome{index: p}, recv(t, done, "it passes"))
		}
	}
}
