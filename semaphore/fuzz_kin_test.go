package semaphore_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
)

// Of the memory of these objects the fuzzer writes what lies before the seats, and the first of those.
const fuzzedSeats = 4

// fuzzed copies what the fuzzer wrote over the front of an object in mem, behind which two words of the test lie.
func fuzzed(size int, src []byte) (mem, object []byte) {
	mem = layout.SliceBytes(make([]uint64, size/8+2))
	copy(mem[:size], src)
	return mem, mem[:size]
}

// scribble writes where nobody must, into the front of an object.
func scribble(object []byte, front, i int, b byte) {
	words := layout.MustSlice[atomic.Uint64](object, 0, front/8)
	words[(int(b)*7+i)%len(words)].Store(uint64(i) * 0x1_0000_0001 << (b % 33))
}

func requireBehind(t *testing.T, mem []byte, size int64) {
	require.Equal(t, []uint64{0, 0}, layout.MustSlice[uint64](mem, size, 2), "behind it")
}

// FuzzRobust: whatever lies in memory, it is refused, or every operation ends: with permits, without, with an error that says what is
// wrong, or, for a Release of what is not held, with the panic that says so.
func FuzzRobust(f *testing.F) {
	const front = semaphore.Size + (1+fuzzedSeats)*layout.Line
	for _, permits := range []int64{1, 3, semaphore.MaxRobust} {
		mem := robustBytes()
		s, err := semaphore.NewRobustAt(mem, permits)
		require.NoError(f, err)
		f.Add(mem[:front], []byte{0, 1, 2, 3, 4, 9, 10, 11, 12, 130, 140, 3, 3})
		s.TryAcquire(1)
		f.Add(mem[:front], []byte{4, 5, 200, 4, 7, 140, 4, 199, 5, 6, 3})
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		mem, object := fuzzed(semaphore.RobustSize, src[:min(len(src), front)])
		s, err := semaphore.Attach(object)
		if err != nil || !s.Robust() {
			return
		}
		capacity := layout.MustSlice[uint64](mem, 0, 8)[3]
		for i, b := range script[:min(len(script), 64)] {
			if b >= 128 {
				scribble(object, front, i, b)
				continue
			}
			useAny(t, s, b)
			require.LessOrEqual(t, uint64(s.Value()), capacity)
		}
		if err := s.Close(); err != nil {
			require.ErrorIs(t, err, semaphore.ErrCorrupted) // its seat is another's
		}
		requireBehind(t, mem, semaphore.RobustSize)
	})
}

// FuzzBarrier: whatever lies in memory, it is refused, or every operation ends.
func FuzzBarrier(f *testing.F) {
	const front = semaphore.BarrierSize - (semaphore.Seats-fuzzedSeats)*layout.Line
	for _, parties := range []int{1, 2, semaphore.MaxParties} {
		mem := barrierBytes()
		b, err := semaphore.NewBarrierAt(mem, parties)
		require.NoError(f, err)
		f.Add(mem[:front], []byte{0, 1, 2, 3, 4, 0, 130, 0, 2, 0, 140, 0, 1})
		b.Abort()
		f.Add(mem[:front], []byte{0, 3, 0, 2, 150, 0, 3, 1, 0, 190, 4, 0})
		b.Reset()
		b.Late()
		f.Add(mem[:front], []byte{0, 3, 0, 250, 2, 150, 0, 3, 1, 0, 190, 4, 0})
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		mem, object := fuzzed(semaphore.BarrierSize, src[:min(len(src), front)])
		b, err := semaphore.AttachBarrier(object)
		if err != nil {
			return
		}
		for i, c := range script[:min(len(script), 64)] {
			switch {
			case c >= 128:
				scribble(object, front, i, c)
			case c%5 == 0:
				ctx, cancel := context.WithCancel(context.Background())
				done := waitAt(ctx, b)
				cancel()
				got := recv(t, done, "Wait ends")
				if got.err != nil && got.err != semaphore.ErrBroken && !errors.Is(got.err, semaphore.ErrCorrupted) {
					require.ErrorIs(t, got.err, context.Canceled)
				}
			case c%5 == 1:
				b.Abort()
			case c%5 == 2:
				b.Reset()
			default:
				require.LessOrEqual(t, b.Waiting(), b.Parties())
				b.Broken()
			}
		}
		if err := b.Close(); err != nil {
			require.ErrorIs(t, err, semaphore.ErrCorrupted)
		}
		requireBehind(t, mem, semaphore.BarrierSize)
	})
}

// FuzzOnce: whatever lies in memory, it is refused, or every operation ends.
func FuzzOnce(f *testing.F) {
	for _, script := range [][]byte{{0, 1, 2, 3}, {1, 0, 0}, {130, 0, 190, 1, 2, 0}, {2, 200, 1, 150, 0}} {
		mem := layout.SliceBytes(make([]uint64, semaphore.OnceSize/8))
		_, err := semaphore.NewOnceAt(mem)
		require.NoError(f, err)
		f.Add(mem, script)
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		mem, object := fuzzed(semaphore.OnceSize, src)
		o, err := semaphore.AttachOnce(object)
		if err != nil {
			return
		}
		for i, c := range script[:min(len(script), 64)] {
			if c >= 128 {
				scribble(object, semaphore.OnceSize, i, c)
				continue
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := do(ctx, o, func() error {
				if c%3 == 0 {
					return nil
				}
				return errFailed
			})
			cancel()
			err := recv(t, done, "Do ends")
			if err != nil && err != errFailed && !errors.Is(err, semaphore.ErrCorrupted) {
				require.ErrorIs(t, err, context.Canceled)
			}
			o.Done()
		}
		require.NoError(t, o.Close())
		requireBehind(t, mem, semaphore.OnceSize)
	})
}
