package semaphore_test

import (
	"context"
	"fmt"
	"strings"
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

// newRWMutex makes an RWMutex, and as many handles as asked for.
func newRWMutex(t testing.TB, handles int) []*semaphore.RWMutex {
	return semaphore.Handles(t, layout.SliceBytes(make([]uint64, semaphore.RWMutexSize/8)), handles, semaphore.NewRWMutexAt, semaphore.AttachRWMutex)
}

// rlock starts an RLock and returns where its result will be.
func rlock(ctx context.Context, m *semaphore.RWMutex) <-chan error {
	done := make(chan error, 1)
	go func() { done <- m.RLock(ctx) }()
	return done
}

func tryWrite(t testing.TB, m *semaphore.RWMutex) bool {
	ok, err := m.TryLock()
	require.NoError(t, err)
	return ok
}

func tryRead(t testing.TB, m *semaphore.RWMutex) bool {
	ok, err := m.TryRLock()
	require.NoError(t, err)
	return ok
}

func TestRWMutexExcludes(t *testing.T) {
	h := newRWMutex(t, 2)
	require.True(t, tryRead(t, h[0]))
	require.True(t, tryRead(t, h[0]))
	require.True(t, tryRead(t, h[1]))
	assert.False(t, tryWrite(t, h[0]))
	h[0].RUnlock()
	h[1].RUnlock()
	assert.False(t, tryWrite(t, h[1]))
	h[0].RUnlock()
	for range 3 {
		require.True(t, tryWrite(t, h[1]))
		assert.False(t, tryWrite(t, h[0]))
		assert.False(t, tryRead(t, h[0]))
		h[0].Unlock() // the process has it
		require.True(t, tryRead(t, h[0]))
		h[0].RUnlock()
	}
}

func TestRWMutexWaits(t *testing.T) {
	h := newRWMutex(t, 2)
	for _, m := range h {
		m.Unbounded()
	}
	for range 3 {
		require.True(t, tryRead(t, h[0]))
		writer := lock(watched(t), h[1])
		until(t, "asleep", h[1].DrainAsleep)
		reader := rlock(watched(t), h[0])
		until(t, "asleep", h[0].ReaderAsleep)
		h[0].RUnlock()
		require.NoError(t, recv(t, writer, "the lock"))
		other := lock(watched(t), h[0])
		until(t, "asleep", h[0].WriterAsleep)
		h[1].Unlock()
		require.NoError(t, recv(t, reader, "the read lock"))
		h[0].RUnlock()
		require.NoError(t, recv(t, other, "the lock"))
		h[0].Unlock()
	}
}

// Whoever waits to read when a writer leaves has the lock before the next writer, though that one is awake and the readers sleep; and a
// writer that waits has it before readers that come later.
func TestRWMutexTakesTurns(t *testing.T) {
	h := newRWMutex(t, 4)
	for range 20 {
		var order atomic.Pointer[[]string]
		order.Store(new([]string))
		note := func(who string) {
			for {
				was := order.Load()
				now := append(append([]string{}, *was...), who)
				if order.CompareAndSwap(was, &now) {
					return
				}
			}
		}
		require.NoError(t, h[0].Lock(watched(t)))
		done := make(chan struct{}, 4)
		start := func(f func()) { go func() { f(); done <- struct{}{} }() }
		for i := 1; i < 3; i++ {
			start(func() {
				assert.NoError(t, h[i].RLock(watched(t)))
				note("reader")
				h[i].RUnlock()
			})
			until(t, "asleep", h[i].ReaderAsleep)
		}
		start(func() {
			assert.NoError(t, h[3].Lock(watched(t)))
			note("writer")
			h[3].Unlock()
		})
		until(t, "asleep", h[3].WriterAsleep)
		h[0].Unlock()
		for range 3 {
			recv(t, done, "an end")
		}
		require.Equal(t, []string{"reader", "reader", "writer"}, *order.Load())

		order.Store(new([]string))
		require.NoError(t, h[0].RLock(watched(t)))
		start(func() {
			assert.NoError(t, h[3].Lock(watched(t)))
			note("writer")
			h[3].Unlock()
		})
		until(t, "it waits for readers", h[3].DrainAsleep)
		start(func() {
			assert.NoError(t, h[1].RLock(watched(t)))
			note("reader")
			h[1].RUnlock()
		})
		until(t, "asleep", h[1].ReaderAsleep)
		assert.False(t, tryRead(t, h[2]), "a writer waits")
		h[0].RUnlock()
		recv(t, done, "an end")
		recv(t, done, "an end")
		require.Equal(t, []string{"writer", "reader"}, *order.Load())
	}
}

// A writer that gives up lets in those who wait for it, and leaves nothing behind; so does a reader.
func TestRWMutexContexts(t *testing.T) {
	h := newRWMutex(t, 3)
	for _, m := range h {
		m.Unbounded()
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	assert.Equal(t, context.Canceled, h[0].Lock(ended), "though it is free")
	assert.Equal(t, context.Canceled, h[0].RLock(ended))
	negative, cancel := context.WithTimeout(context.Background(), -time.Second)
	defer cancel()
	assert.Equal(t, context.DeadlineExceeded, h[0].Lock(negative))

	for range 3 {
		require.True(t, tryRead(t, h[0]))
		ctx, leave := context.WithCancel(context.Background())
		writer := lock(ctx, h[1])
		until(t, "asleep", h[1].DrainAsleep)
		reader := rlock(watched(t), h[2])
		until(t, "asleep", h[2].ReaderAsleep)
		leave()
		require.Equal(t, context.Canceled, recv(t, writer, "its end"))
		require.NoError(t, recv(t, reader, "the lock"))
		h[0].RUnlock()
		assert.False(t, tryWrite(t, h[0]), "one reads")
		h[2].RUnlock()

		require.True(t, tryWrite(t, h[0]))
		ctx, leave = context.WithCancel(context.Background())
		reader = rlock(ctx, h[1])
		until(t, "asleep", h[1].ReaderAsleep)
		leave()
		require.Equal(t, context.Canceled, recv(t, reader, "its end"))
		assert.Zero(t, h[1].ReadersIn())
		h[0].Unlock()
		require.True(t, tryWrite(t, h[0]))
		h[0].Unlock()
	}
}

func TestRWMutexMisuse(t *testing.T) {
	h := newRWMutex(t, 2)
	m := h[0]
	assert.PanicsWithValue(t, "semaphore: unlock of an RWMutex that no writer of this process holds", m.Unlock)
	assert.PanicsWithValue(t, "semaphore: RUnlock of an RWMutex that this handle does not have to read", m.RUnlock)
	require.True(t, tryRead(t, h[1]))
	assert.Panics(t, m.RUnlock, "it is another handle's")
	assert.Panics(t, m.Unlock, "it is a reader's")
	h[1].RUnlock()
	require.True(t, tryWrite(t, m))
	assert.Panics(t, m.RUnlock, "it is a writer's")
	m.Unlock()
	assert.Zero(t, m.Word().Load())

	_, err := semaphore.NewRWMutexAt(make([]byte, semaphore.RWMutexSize-1))
	assert.ErrorContains(t, err, "make RWMutex: memory of ")
	mem := layout.SliceBytes(make([]uint64, semaphore.RWMutexSize/8))
	_, err = semaphore.AttachRWMutex(mem)
	assert.ErrorIs(t, err, layout.ErrNotShmkit)
	_, err = semaphore.NewMutexAt(mem)
	require.NoError(t, err)
	_, err = semaphore.AttachRWMutex(mem)
	assert.ErrorIs(t, err, layout.ErrKind)
}

// A writer that has died within leaves the lock suspect to everybody until one has written; one that died before it closed the gate, or
// after it had opened it, has left nothing half done.
func TestRWMutexWriterDied(t *testing.T) {
	get := map[string]func(m *semaphore.RWMutex) error{
		"Lock":     func(m *semaphore.RWMutex) error { return m.Lock(watched(t)) },
		"TryLock":  func(m *semaphore.RWMutex) error { ok, err := m.TryLock(); assert.True(t, ok); return err },
		"RLock":    func(m *semaphore.RWMutex) error { return m.RLock(watched(t)) },
		"TryRLock": func(m *semaphore.RWMutex) error { ok, err := m.TryRLock(); assert.True(t, ok); return err },
	}
	for name, get := range get {
		t.Run(name, func(t *testing.T) {
			m := newRWMutex(t, 1)[0]
			m.Unbounded()
			leave := m.Unlock
			if strings.Contains(name, "R") {
				leave = m.RUnlock
			}
			m.Word().Store(deadProcess(t))
			require.NoError(t, get(m), "the gate is open")
			leave()
			m.Word().Store(deadProcess(t))
			m.Gate().Store(m.Gate().Load() | 1)
			require.ErrorIs(t, get(m), semaphore.ErrOwnerDied)
			leave()
			if strings.Contains(name, "R") {
				require.ErrorIs(t, m.RLock(watched(t)), semaphore.ErrOwnerDied, "nobody has written")
				m.RUnlock()
				require.ErrorIs(t, m.Lock(watched(t)), semaphore.ErrOwnerDied)
				m.Unlock()
			}
			require.NoError(t, m.RLock(watched(t)))
			m.RUnlock()
			require.NoError(t, m.Lock(watched(t)))
			m.Unlock()
			assert.Zero(t, m.Word().Load())
		})
	}
}

// A TryLock that takes a dead writer's place, and finds readers, opens the gate that is closed and nobody's: those who come to read, or wait
// for that, are told of the death, and wait neither for somebody to write nor for one to whom the writers' lock is granted.
func TestRWMutexTryLockBehindTheDead(t *testing.T) {
	stopped, err := owner.Of(1) // stands for one that does not take its turn
	require.NoError(t, err)
	for _, claimed := range []bool{false, true} {
		for _, waits := range []bool{false, true} {
			t.Run(fmt.Sprint(claimed, waits), func(t *testing.T) {
				h := newRWMutex(t, 3)
				reads, tries, other := h[0], h[1], h[2]
				other.Unbounded()
				require.True(t, tryRead(t, reads))
				var waiting <-chan error
				require.True(t, reads.Word().CompareAndSwap(0, uint64(stopped))) // one that lives, at first
				reads.Gate().Add(1)
				if waits {
					waiting = rlock(watched(t), other)
					until(t, "asleep", other.ReaderAsleep)
				}
				was := deadProcess(t) // died as it waited for the readers
				if claimed {
					reads.Claim(0).Store(uint64(stopped))
					reads.SetPassed(semaphore.MaxPassed)
					was |= semaphore.Claimed
				}
				reads.Word().Store(was)
				require.False(t, tryWrite(t, tries))
				assert.Equal(t, uint64(semaphore.Suspect), reads.Gate().Load(), "the gate is open")
				if claimed {
					assert.Equal(t, uint64(stopped)|semaphore.Granted|semaphore.Claimed, reads.Word().Load())
				} else {
					assert.Zero(t, reads.Word().Load())
				}
				if !waits {
					waiting = rlock(watched(t), other)
				}
				assert.ErrorIs(t, recv(t, waiting, "the read lock"), semaphore.ErrOwnerDied)
				other.RUnlock()
				reads.RUnlock()
			})
		}
	}
}

// A writer waits for a reader that dies; and TryLock finds out by itself.
func TestRWMutexReaderDied(t *testing.T) {
	for _, phase := range []uint64{0, 1} {
		for name, get := range map[string]func(m *semaphore.RWMutex) error{
			"Lock":    func(m *semaphore.RWMutex) error { return m.Lock(watched(t)) },
			"TryLock": func(m *semaphore.RWMutex) error { ok, err := m.TryLock(); assert.True(t, ok); return err },
		} {
			t.Run(fmt.Sprint(name, phase), func(t *testing.T) {
				h := newRWMutex(t, 2)
				m, dead := h[1], h[0]
				m.Unbounded()
				m.Gate().Store(2 * phase)
				require.True(t, tryRead(t, dead))
				mine := m.SeatOwner(0).Load()
				m.SeatOwner(0).Store(mine ^ 1<<40) // the pid of this process, and another start time
				require.NoError(t, get(m))
				m.Unlock()
				assert.NotEqual(t, mine^1<<40, m.SeatOwner(0).Load(), "its seat is free")
				assert.Zero(t, m.Count(0).Load()&(1<<40-1), "and who takes it is no reader before it has begun")
				m.SeatOwner(0).Store(mine)
			})
		}
	}
}

// One who buries late, after the seat has become another's, takes nothing from that one.
func TestRWMutexLateBurial(t *testing.T) {
	mem := layout.SliceBytes(make([]uint64, semaphore.RWMutexSize/8))
	m, err := semaphore.NewRWMutexAt(mem)
	require.NoError(t, err)
	require.True(t, tryRead(t, m))
	was := m.Count(0).Load()
	m.RUnlock()
	require.NoError(t, m.Close())
	again, err := semaphore.AttachRWMutex(mem)
	require.NoError(t, err)
	require.True(t, tryRead(t, again))
	assert.NotEqual(t, was, again.Count(0).Load(), "the same seat, as many readers, and another count")
	again.RUnlock()
	require.NoError(t, again.Close())
}

// Readers and writers come and are cancelled in any order: nobody reads while one writes, one writes at a time, nobody is forgotten.
func TestRWMutexStorm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newRWMutex(t, rapid.IntRange(1, 3).Draw(rt, "handles"))
		for _, m := range h {
			m.Unbounded()
		}
		var l rwLedger
		const goroutines, rounds = 6, 8
		done := make(chan struct{}, goroutines)
		for g := range goroutines {
			m := h[g%len(h)]
			patience := rapid.SliceOfN(rapid.IntRange(0, 60), rounds, rounds).Draw(rt, fmt.Sprint("patience", g))
			writes := rapid.SliceOfN(rapid.Bool(), rounds, rounds).Draw(rt, fmt.Sprint("writes", g))
			go func() {
				defer func() { done <- struct{}{} }()
				for i, turns := range patience {
					ctx, cancel := impatient(turns)
					l.use(ctx, m, writes[i])
					cancel()
				}
			}()
		}
		for range goroutines {
			recv(t, done, "the end of a goroutine")
		}
		require.True(rt, tryWrite(t, h[0]))
		h[0].Unlock()
		require.False(rt, l.wrong.Load(), "a writer was not alone")
	})
}

// A rwLedger knows who has the lock: readers count 1, a writer much more.
type rwLedger struct {
	within atomic.Int64
	wrong  atomic.Bool
}

const oneWriter = 1 << 32

func (l *rwLedger) use(ctx context.Context, m *semaphore.RWMutex, write bool) {
	if write {
		if m.Lock(ctx) == nil {
			if l.within.Add(oneWriter) != oneWriter {
				l.wrong.Store(true)
			}
			l.within.Add(-oneWriter)
			m.Unlock()
		}
		return
	}
	if m.RLock(ctx) == nil {
		if l.within.Add(1) >= oneWriter {
			l.wrong.Store(true)
		}
		l.within.Add(-1)
		m.RUnlock()
	}
}

// What one handle orders the race detector knows.
func TestRWMutexOrdersGoMemory(t *testing.T) {
	m, err := semaphore.NewRWMutex()
	require.NoError(t, err)
	const goroutines, rounds = 4, 500
	n, sum, done := 0, atomic.Int64{}, make(chan struct{}, goroutines)
	for g := range goroutines {
		go func() {
			for range rounds {
				if g == 0 {
					assert.NoError(t, m.Lock(watched(t)))
					n++
					m.Unlock()
				} else {
					assert.NoError(t, m.RLock(watched(t)))
					sum.Add(int64(n))
					m.RUnlock()
				}
			}
			done <- struct{}{}
		}()
	}
	for range goroutines {
		recv(t, done, "the end of a goroutine")
	}
	assert.Equal(t, rounds, n)
	require.NoError(t, m.Close())
}

func TestRWMutexAllocatesNothing(t *testing.T) {
	m := newRWMutex(t, 1)[0]
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if m.RLock(context.Background()) != nil {
			panic("not free")
		}
		m.RUnlock()
		if m.Lock(context.Background()) != nil {
			panic("not free")
		}
		m.Unlock()
	}))
}

// One reader too many is refused, by an error that says so, and no count that is not its own changes.
func TestRWMutexTooManyReaders(t *testing.T) {
	h := newRWMutex(t, 2)
	m := h[0]
	const all = semaphore.MaxReaders
	full := func(err error) {
		t.Helper()
		assert.EqualError(t, err, "lock RWMutex: 524288 read on this handle already, or wait for it")
	}
	for phase := range 2 { // each ends with a writer
		count, shift := m.Count(0), phase*semaphore.CountBits
		none := count.Load()
		count.Add((all - 1) << shift)
		require.NoError(t, m.RLock(watched(t)))
		require.Equal(t, none+all<<shift, count.Load())
		full(m.RLock(watched(t)))
		ok, err := m.TryRLock()
		assert.False(t, ok)
		full(err)
		require.Equal(t, none+all<<shift, count.Load(), "those who were refused have left nothing")
		require.True(t, tryRead(t, h[1]), "another handle has room")
		h[1].RUnlock()
		m.RUnlock()
		require.True(t, tryRead(t, m), "there is room for one again")
		m.RUnlock()
		count.Store(none)
		require.True(t, tryWrite(t, h[1]))
		h[1].Unlock()
	}

	// Those who wait, for the phase behind a writer, are counted too.
	require.True(t, tryWrite(t, h[1]))
	shift := 1 * semaphore.CountBits
	none := m.Count(0).Load()
	m.Count(0).Add(all << shift)
	full(m.RLock(watched(t)))
	m.Count(0).Store(none + (all-1)<<shift)
	reader := rlock(watched(t), m)
	until(t, "the last of them waits", func() bool { return m.ReadersIn() == all })
	m.Count(0).Store(none + 1<<shift)
	h[1].Unlock()
	require.NoError(t, recv(t, reader, "the lock"))
	m.RUnlock()
}
