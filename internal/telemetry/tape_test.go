package telemetry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/ring"
)

func TestTapeLayout(t *testing.T) {
	require.EqualValues(t, tapeSlots+tapeSlot*workerEvents, ring.BroadcastSize(workerEvents, eventBytes))
	require.EqualValues(t, tapeSlots+tapeSlot*parentEvents, ring.BroadcastSize(parentEvents, eventBytes))
}

// A worker's part and what is written there, as a tape sees it.
type taped struct {
	own  Own
	w    Recorder
	tape *Tape
	next int64 // event to write
	seen int64 // events that were returned or missed
}

func newTaped(t require.TestingT) *taped {
	own, err := ViewOwn(aligned(OwnSize(1)), 1)
	require.NoError(t, err)
	require.NoError(t, own.Prepare())
	w, err := own.Record()
	require.NoError(t, err)
	s := &taped{own: own, w: w, tape: NewTape(false)}
	s.play(t, s.copy) // from now on it misses what it does not see
	return s
}

func (s *taped) write(n int) {
	for range n {
		s.w.Write(&Event{Kind: Ran, At: s.next, For: -s.next, Untold: uint64(s.next)})
		s.next++
	}
}

// play checks that what comes is whole and in order.
func (s *taped) play(t require.TestingT, read func([]byte) error) {
	events, missed, err := s.tape.Play(read)
	require.NoError(t, err)
	s.seen += int64(missed)
	require.LessOrEqual(t, s.seen+int64(len(events)), s.next)
	for k, e := range events {
		n := s.next - int64(len(events)) + int64(k)
		if e.At != n { // nothing was written between the copies and here
			n = e.At
		}
		require.Equal(t, Event{Kind: Ran, At: n, For: -n, Untold: uint64(n)}, e)
	}
	s.seen += int64(len(events))
}

func (s *taped) copy(b []byte) error { copy(b, s.own.events); return nil }

// However fast it is written, a tape has each event once, or counts it as missed.
func TestTape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newTaped(t)
		for range rapid.IntRange(1, 10).Draw(t, "turns") {
			s.write(rapid.IntRange(0, 2*workerEvents).Draw(t, "events"))
			s.play(t, s.copy)
			require.Equal(t, s.next, s.seen)
		}
	})
}

// What is written while it is copied comes whole or not at all, and is not lost for it.
func TestTapeOfABusyWriter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newTaped(t)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		s.write(rapid.IntRange(0, 2*workerEvents).Draw(t, "events"))
		for range 5 {
			s.play(t, func(b []byte) error { // in pieces, between which something is written
				for at := 0; at < len(b); {
					n := min(8+8*rng.IntN(256), len(b)-at)
					copy(b[at:at+n], s.own.events[at:])
					at += n
					s.write(rng.IntN(4))
				}
				return nil
			})
		}
		for range 2 {
			s.play(t, s.copy)
		}
		require.Equal(t, s.next, s.seen)
	})
}

// Who begins anew is followed.
func TestTapeThatBeginsAnew(t *testing.T) {
	s := newTaped(t)
	s.write(20)
	s.play(t, s.copy)
	clear(s.own.events)
	events, missed, err := s.tape.Play(s.copy)
	require.NoError(t, err)
	require.Empty(t, events)
	require.Zero(t, missed)
	require.NoError(t, s.own.Prepare())
	s.w, err = s.own.Record()
	require.NoError(t, err)
	s.next, s.seen = 0, 0
	s.write(5)
	s.play(t, s.copy)
	require.EqualValues(t, 5, s.seen)
}

func TestTapeThatCannotBeRead(t *testing.T) {
	s := newTaped(t)
	s.write(1)
	wrong := errors.New("wrong")
	_, _, err := s.tape.Play(func([]byte) error { return wrong })
	require.ErrorIs(t, err, wrong)
	for at := range 64 {
		mem := bytes.Clone(s.own.events)
		mem[at] ^= 0x55
		_, _, _ = NewTape(false).Play(func(b []byte) error { copy(b, mem); return nil })
	}
	mem := bytes.Clone(s.own.events)
	binary.LittleEndian.PutUint64(mem[32:], 48) // bytes of a record
	_, _, err = NewTape(false).Play(func(b []byte) error { copy(b, mem); return nil })
	require.Error(t, err)
}
