package semaphore_test

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

// newMutex makes a mutex, and as many handles as asked for.
func newMutex(t testing.TB, handles int) []*semaphore.Mutex {
	return semaphore.Handles(t, layout.SliceBytes(make([]uint64, semaphore.MutexSize/8)), handles, semaphore.NewMutexAt, semaphore.AttachMutex)
}

// lock starts a Lock and returns where its result will be.
func lock(ctx context.Context, m interface{ Lock(context.Context) error }) <-chan error {
	done := make(chan error, 1)
	go func() { done <- m.Lock(ctx) }()
	return done
}

// try is a TryLock that does not fail.
func try(t testing.TB, m *semaphore.Mutex) bool {
	ok, err := m.TryLock()
	require.NoError(t, err)
	return ok
}

// deadProcess is the ID of a process that has ended, which was alive when it got it.
func deadProcess(t testing.TB) uint64 {
	cmd := exec.Command("true")
	require.NoError(t, cmd.Start())
	id, err := owner.Of(cmd.Process.Pid)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	return uint64(id)
}

func TestMutexIsOneLock(t *testing.T) {
	h := newMutex(t, 2)
	require.NoError(t, h[0].Lock(context.Background()))
	assert.False(t, try(t, h[0]), "it is not recursive")
	assert.False(t, try(t, h[1]))
	h[1].Unlock() // the process holds it, not the handle
	assert.True(t, try(t, h[1]))
	h[1].Unlock()
	assert.Zero(t, h[0].Word().Load())
}

func TestMutexWaits(t *testing.T) {
	h := newMutex(t, 2)
	for _, m := range h {
		m.Unbounded()
		require.True(t, try(t, h[0]))
		waits := lock(watched(t), m)
		until(t, "asleep", m.Asleep)
		h[0].Unlock()
		require.NoError(t, recv(t, waits, "the lock"))
		assert.False(t, try(t, h[0]))
		m.Unlock()
	}
	assert.Zero(t, h[0].Word().Load(), "no claim is left")
	for i := range semaphore.Claims {
		assert.Zero(t, h[0].Claim(i).Load())
	}
}

func TestMutexContexts(t *testing.T) {
	m := newMutex(t, 1)[0]
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	assert.Equal(t, context.Canceled, m.Lock(ended), "though it is free")
	negative, cancel := context.WithTimeout(context.Background(), -time.Second)
	defer cancel()
	assert.Equal(t, context.DeadlineExceeded, m.Lock(negative))
	assert.Zero(t, m.Word().Load())

	require.True(t, try(t, m))
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	assert.Equal(t, context.DeadlineExceeded, m.Lock(short))
	assert.Equal(t, m.ID(), m.Word().Load()&^semaphore.Claimed)
	m.Unlock()
	assert.True(t, try(t, m), "who left has left nothing behind that matters")
	m.Unlock()
	assert.Zero(t, m.Word().Load())
}

// Within a handle those who wait are served in the order in which they came.
func TestMutexOrderWithinAHandle(t *testing.T) {
	const waiters = 5
	m := newMutex(t, 1)[0]
	require.True(t, try(t, m))
	order := make(chan int, waiters)
	for i := range waiters {
		go func() {
			assert.NoError(t, m.Lock(watched(t)))
			order <- i
			m.Unlock()
		}()
		until(t, "it waits", func() bool { return m.Waiters() == i+1 })
	}
	m.Unlock()
	for i := range waiters {
		require.Equal(t, i, recv(t, order, "a turn"))
	}
}

func TestMutexMisuse(t *testing.T) {
	m := newMutex(t, 1)[0]
	assert.PanicsWithValue(t, "semaphore: unlock of a mutex that this process does not hold: its word is 0x0", m.Unlock)
	m.Word().Store(1<<22 | 1)
	assert.Panics(t, m.Unlock, "it is another's")
	m.Word().Store(m.ID() | semaphore.Granted)
	assert.Panics(t, m.Unlock, "it is granted, and not taken")
	m.Word().Store(0)

	_, err := semaphore.NewMutexAt(make([]byte, semaphore.MutexSize-1))
	assert.EqualError(t, err, "make mutex: memory of 255 bytes, a mutex takes 256")
	mem := layout.SliceBytes(make([]uint64, semaphore.MutexSize/8))
	_, err = semaphore.AttachMutex(mem)
	assert.ErrorIs(t, err, layout.ErrNotShmkit)
	_, err = semaphore.NewAt(mem, 1)
	require.NoError(t, err)
	_, err = semaphore.AttachMutex(mem)
	assert.ErrorContains(t, err, "attach mutex: it is a semaphore")
}

// The next who comes is told that the holder has died, once, whether it waits for the lock already or comes later, or only tries.
func TestMutexOwnerDied(t *testing.T) {
	for name, get := range map[string]func(m *semaphore.Mutex) error{
		"Lock":    func(m *semaphore.Mutex) error { return m.Lock(watched(t)) },
		"TryLock": func(m *semaphore.Mutex) error { ok, err := m.TryLock(); assert.True(t, ok); return err },
	} {
		for _, bits := range []uint64{0, semaphore.Claimed} {
			t.Run(fmt.Sprintf("%s %#x", name, bits), func(t *testing.T) {
				m := newMutex(t, 1)[0]
				m.Unbounded()
				m.Word().Store(deadProcess(t) | bits)
				err := get(m)
				require.ErrorIs(t, err, semaphore.ErrOwnerDied)
				assert.ErrorContains(t, err, "lock mutex: process ")
				assert.Equal(t, m.ID(), m.Word().Load(), "and has the lock")
				m.Unlock()
				require.NoError(t, m.Lock(watched(t)), "it is told once")
				m.Unlock()
			})
		}
	}
}

// An owner word with the pid of a living process, this one, and another start time.
func TestMutexReusedPid(t *testing.T) {
	m := newMutex(t, 1)[0]
	m.Unbounded()
	m.Word().Store(m.ID() ^ 1<<40)
	require.ErrorIs(t, m.Lock(watched(t)), semaphore.ErrOwnerDied)
	m.Unlock()
}

// Who dies before it has taken what was granted to it has left nothing half done.
func TestMutexGrantOfTheDead(t *testing.T) {
	m := newMutex(t, 1)[0]
	m.Unbounded()
	dead := deadProcess(t)
	m.Claim(3).Store(dead)
	m.Word().Store(dead | semaphore.Granted | semaphore.Claimed)
	require.NoError(t, m.Lock(watched(t)))
	assert.Equal(t, m.ID(), m.Word().Load())
	assert.Zero(t, m.Claim(3).Load())
	m.Unlock()
}

// Who cannot wait for its turn any more passes it on.
func TestMutexTurnOfOneWhoLeaves(t *testing.T) {
	h := newMutex(t, 2)
	h[0].Become(1<<22 | 1)
	h[1].Become(1<<22 | 2)
	h[1].Unbounded()
	require.True(t, try(t, h[0]))
	ctx, leave := context.WithCancel(context.Background())
	leaves := lock(ctx, h[1])
	until(t, "asleep", h[1].Asleep)
	leave()
	require.Equal(t, context.Canceled, recv(t, leaves, "its end"))
	for i := range semaphore.Claims {
		require.Zero(t, h[0].Claim(i).Load())
	}
	for range 3 * semaphore.MaxPassed {
		h[0].Unlock()
		require.True(t, try(t, h[0]))
	}
	h[0].Unlock()
}

// A process to which the lock was granted is stopped. Others wait for a Step, and no longer.
func TestMutexTurnOfTheStopped(t *testing.T) {
	m := newMutex(t, 1)[0]
	stopped, err := owner.Of(1)
	require.NoError(t, err)
	m.Claim(7).Store(uint64(stopped))
	m.Word().Store(uint64(stopped) | semaphore.Granted | semaphore.Claimed)
	require.False(t, try(t, m))
	require.NoError(t, m.Lock(watched(t)))
	assert.Equal(t, m.ID(), m.Word().Load())
	m.Unlock()
}

// One who takes the lock again and again gets it so often, and not more, while others sleep that want it.
func TestMutexFairness(t *testing.T) {
	for _, others := range []int{1, 3, semaphore.Claims} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			h := newMutex(t, others+1)
			h[0].Become(1<<22 | 1)
			h[0].Patient()
			require.True(t, try(t, h[0]))
			var waits []<-chan error
			for i, m := range h[1:] {
				m.Become(uint64(1<<22 | (i + 2)))
				m.Unbounded()
				m.Patient()
				waits = append(waits, lock(watched(t), m))
				until(t, "asleep", m.Asleep)
			}
			taken := 0
			served := map[int]int{}
			for len(served) < others {
				h[0].Unlock()
				for again := false; !again; {
					again = try(t, h[0])
					for i, w := range waits {
						select {
						case err := <-w:
							require.NoError(t, err)
							served[i] = taken
							h[i+1].Unlock()
						default:
						}
					}
				}
				taken++
			}
			h[0].Unlock()
			for _, n := range served {
				assert.LessOrEqual(t, n, others*(semaphore.MaxPassed+1))
			}
			t.Logf("%d took it after so many uses by one: %v", others, served)
		})
	}
}

// Waiters come and are cancelled in any order, on several handles that nobody but the protocol connects, and sleep until they are told:
// one at a time has the lock, and nobody is forgotten.
func TestMutexStorm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newMutex(t, rapid.IntRange(1, 3).Draw(rt, "handles"))
		for _, m := range h {
			m.Unbounded()
		}
		h[0].Sleepers().Store(rapid.SampledFrom([]uint32{0, math.MaxUint32 - 9}).Draw(rt, "sleepers"))
		var held, uses atomic.Int64
		const goroutines, rounds = 6, 8
		done := make(chan struct{}, goroutines)
		for g := range goroutines {
			m := h[g%len(h)]
			patience := rapid.SliceOfN(rapid.IntRange(0, 60), rounds, rounds).Draw(rt, fmt.Sprint("patience", g))
			go func() {
				defer func() { done <- struct{}{} }()
				for _, turns := range patience {
					ctx, cancel := impatient(turns)
					if err := m.Lock(ctx); err == nil {
						if held.Add(1) != 1 {
							panic("two hold the lock")
						}
						uses.Add(1)
						held.Add(-1)
						m.Unlock()
					}
					cancel()
				}
			}()
		}
		for range goroutines {
			recv(t, done, "the end of a goroutine")
		}
		assert.True(rt, try(t, h[0]), "%d uses", uses.Load())
		h[0].Unlock()
	})
}

// What one handle orders the race detector knows, whichever memory the lock lies in.
func TestMutexOrdersGoMemory(t *testing.T) {
	m, err := semaphore.NewMutex()
	require.NoError(t, err)
	const goroutines, rounds = 4, 1000
	n, done := 0, make(chan struct{}, goroutines)
	for range goroutines {
		go func() {
			for range rounds {
				assert.NoError(t, m.Lock(watched(t)))
				n++
				m.Unlock()
			}
			done <- struct{}{}
		}()
	}
	for range goroutines {
		recv(t, done, "the end of a goroutine")
	}
	assert.Equal(t, goroutines*rounds, n)
	require.NoError(t, m.Close())
}

func TestMutexAllocatesNothing(t *testing.T) {
	m := newMutex(t, 1)[0]
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if m.Lock(context.Background()) != nil {
			panic("not free")
		}
		m.Unlock()
	}))
}
