package semaphore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
)

// FuzzMutex: whatever lies in memory, it is refused, or every operation ends: with the lock, without, with an error that says what is wrong,
// or, for an Unlock of what is not held, with the panic that says so. Nothing behind the mutex is written.
func FuzzMutex(f *testing.F) {
	mem := make([]byte, semaphore.MutexSize)
	m, err := semaphore.NewMutexAt(mem)
	require.NoError(f, err)
	script := []byte{0, 4, 1, 2, 4, 4, 2, 0, 136, 1, 4, 137, 2, 4, 138, 0, 4}
	f.Add(mem, script)
	for _, w := range []uint64{m.ID(), m.ID() | semaphore.Granted, m.ID() ^ 1<<40 | semaphore.Claimed, semaphore.Granted, 1 << 22, 1<<22 - 1, 1<<64 - 1} {
		m.Word().Store(w)
		m.Claim(0).Store(w)
		f.Add(append([]byte(nil), mem...), script)
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		const size = semaphore.MutexSize
		mem := layout.SliceBytes(make([]uint64, size/8+2))
		copy(mem[:size], src)
		m, err := semaphore.AttachMutex(mem[:size])
		if err != nil {
			return
		}
		obeyAny(t, mem, size, script, m, nil)
		require.NoError(t, m.Close())
		require.Equal(t, []uint64{0, 0}, layout.MustSlice[uint64](mem, size, 2), "behind it")
	})
}

// FuzzRWMutex is the same for an RWMutex.
func FuzzRWMutex(f *testing.F) {
	mem := make([]byte, semaphore.RWMutexSize)
	m, err := semaphore.NewRWMutexAt(mem)
	require.NoError(f, err)
	const used = 2048 // what matters is at the front
	script := []byte{0, 4, 1, 5, 3, 5, 6, 4, 5, 7, 160, 1, 4, 161, 3, 5, 162, 6, 5, 2, 4}
	f.Add(append([]byte(nil), mem[:used]...), script)
	for _, g := range []uint64{1, 2, 3, semaphore.Suspect, semaphore.Suspect | 1, 1<<64 - 1, 1<<64 - 2} {
		for _, w := range []uint64{0, m.ID(), m.ID() ^ 1<<40} {
			m.Gate().Store(g)
			m.Word().Store(w)
			m.SeatOwner(1).Store(w)
			m.Count(1).Store(g)
			f.Add(append([]byte(nil), mem[:used]...), script)
		}
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		const size = semaphore.RWMutexSize
		mem := layout.SliceBytes(make([]uint64, size/8+2))
		copy(mem[:size], src)
		m, err := semaphore.AttachRWMutex(mem[:size])
		if err != nil {
			return
		}
		obeyAny(t, mem, used, script, m, m)
		if err := m.Close(); err != nil {
			require.ErrorIs(t, err, semaphore.ErrCorrupted)
		}
		require.Equal(t, []uint64{0, 0}, layout.MustSlice[uint64](mem, size, 2), "behind it")
	})
}

// obeyAny does what a script says, to a lock for one holder and to one for readers, and writes into the first bytes of its memory as nobody
// should.
func obeyAny(t *testing.T, mem []byte, first int, script []byte, one interface {
	Lock(context.Context) error
	TryLock() (bool, error)
	Unlock()
}, many *semaphore.RWMutex) {
	words := layout.MustSlice[uint64](mem, 0, first/8)
	for i, b := range script[:min(len(script), 64)] {
		if b >= 128 {
			words[int(b)*7%len(words)] = uint64(i) * 0x1_0000_0001 << (b % 33)
			continue
		}
		if many == nil {
			b %= 5
		}
		switch b % 8 {
		case 0:
			_, err := one.TryLock()
			requireExpected(t, err)
		case 1, 2:
			requireExpected(t, briefly(b&1 == 0, one.Lock))
		case 3, 7:
			if many != nil {
				requireExpected(t, briefly(b&4 == 0, many.RLock))
			}
		case 4:
			unlockAny(t, one.Unlock)
		case 5:
			unlockAny(t, many.RUnlock)
		case 6:
			_, err := many.TryRLock()
			requireExpected(t, err)
		}
	}
}

// briefly waits no longer than it takes to begin, or not even that.
func briefly(before bool, lock func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	if before {
		cancel()
	}
	done := make(chan error, 1)
	go func() { done <- lock(ctx) }()
	cancel()
	return <-done
}

func requireExpected(t *testing.T, err error) {
	if err != nil && !errors.Is(err, semaphore.ErrOwnerDied) && !errors.Is(err, semaphore.ErrCorrupted) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

func unlockAny(t *testing.T, unlock func()) {
	defer func() {
		if v := recover(); v != nil {
			text, _ := v.(string)
			require.True(t, strings.HasPrefix(strings.ToLower(text), "semaphore: ") && strings.Contains(text, "nlock of a"), "%v", v)
		}
	}()
	unlock()
}

// Any value in any of a lock's words: who waits gets the lock, or an error, or has to leave when its context ends.
func TestLocksHostileWords(t *testing.T) {
	values := []uint64{1, 1<<22 - 1, 1 << 22, 1<<62 | 1, 1 << 62, 1 << 63, 1<<63 | 3, 1<<64 - 1, 1<<32 - 1, 1<<40 | 1}
	for at := 64; at < 4*layout.Line; at += 8 {
		for _, v := range values {
			rw := newRWMutex(t, 2)[1]
			mem := rw.Memory()
			layout.MustSlice[uint64](mem, 0, len(mem)/8)[at/8] = v
			for range 3 {
				for i, lock := range []func(context.Context) error{rw.Lock, rw.RLock} {
					ctx, cancel := context.WithTimeout(watched(t), semaphore.Step/10)
					err := lock(ctx)
					cancel()
					switch {
					case err != nil && !errors.Is(err, semaphore.ErrOwnerDied):
						require.True(t, errors.Is(err, semaphore.ErrCorrupted) || errors.Is(err, context.DeadlineExceeded), "%v", err)
					case i == 0:
						unlockAny(t, rw.Unlock)
					default:
						unlockAny(t, rw.RUnlock)
					}
				}
			}
		}
	}
}
