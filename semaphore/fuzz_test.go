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

// FuzzSemaphore: whatever lies in memory, it is refused, or every operation ends: with permits, without, with an error that says what
// is wrong, or, for a Release of what cannot have been held, with the panic that says so. A value is never outside the capacity,
// and nothing behind the semaphore is written.
func FuzzSemaphore(f *testing.F) {
	for _, permits := range []int64{1, 3, 1 << 40} {
		mem := make([]byte, semaphore.Size)
		_, err := semaphore.NewAt(mem, permits)
		require.NoError(f, err)
		f.Add(mem, []byte{0, 1, 2, 3, 4, 9, 10, 11, 12, 130, 140, 3, 3})
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		mem := layout.SliceBytes(make([]uint64, semaphore.Size/8+2))
		copy(mem[:semaphore.Size], src)
		s, err := semaphore.Attach(mem[:semaphore.Size])
		if err != nil {
			return
		}
		words := layout.MustSlice[uint64](mem, 0, semaphore.Size/8)
		capacity := words[3] // the header's first parameter
		for i, b := range script[:min(len(script), 64)] {
			if b >= 128 { // somebody writes where it must not
				words[int(b)%len(words)] = uint64(i) * 0x1_0000_0001 << (b % 33)
				continue
			}
			useAny(t, s, b)
			require.LessOrEqual(t, uint64(s.Value()), capacity)
		}
		require.NoError(t, s.Close())
		require.Equal(t, []uint64{0, 0}, layout.MustSlice[uint64](mem, semaphore.Size, 2), "behind it")
	})
}

func useAny(t *testing.T, s *semaphore.Semaphore, b byte) {
	n := int64(b >> 2)
	switch b & 3 {
	case 0:
		s.TryAcquire(n)
	case 1, 2:
		ctx, cancel := context.WithCancel(context.Background())
		if b&3 == 2 {
			cancel() // before
		}
		err := acquireBriefly(ctx, cancel, s, n)
		if err != nil && !errors.Is(err, semaphore.ErrCorrupted) && !errors.Is(err, context.Canceled) {
			require.ErrorContains(t, err, "can never be had")
		}
	case 3:
		releaseAny(t, s, n)
	}
}

// acquireBriefly waits no longer than it takes to begin.
func acquireBriefly(ctx context.Context, cancel func(), s *semaphore.Semaphore, n int64) error {
	done := make(chan error, 1)
	go func() { done <- s.Acquire(ctx, n) }()
	cancel()
	return <-done
}

func releaseAny(t *testing.T, s *semaphore.Semaphore, n int64) {
	defer func() {
		if v := recover(); v != nil {
			text, _ := v.(string)
			require.True(t, strings.HasPrefix(text, "semaphore: released more than held"), "%v", v)
		}
	}()
	s.Release(n)
}
